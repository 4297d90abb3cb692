"""A Realtime server that speaks the protocol of Supabase's, over logical decoding."""
