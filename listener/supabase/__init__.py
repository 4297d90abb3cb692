"""Adapters to Supabase; no other package imports supabase or realtime."""
