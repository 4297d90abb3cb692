"""The service put together: it builds the stages, starts them in order, keeps them running and drains them."""
