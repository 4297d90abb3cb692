"""Assembles the service: builds the stages, starts them in order, restarts failed ones and drains them at shutdown."""
