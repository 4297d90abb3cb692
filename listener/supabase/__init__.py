"""The adapters to Supabase; the only place that imports supabase and realtime."""
