"""`listener demo`: runs jobs of every kind on a stack of its own, watched through a stock Supabase client."""
