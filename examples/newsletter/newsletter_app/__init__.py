"""The newsletters' HTTP interface: ten endpoints, each of which acts as the signed-in user who calls it."""
