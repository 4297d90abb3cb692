"""The adapters to Supabase; the only place that imports supabase, realtime and httpx for them."""
