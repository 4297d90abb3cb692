"""`listener demo`: a few seconds of everything, on a stack of its own, seen through a stock Supabase client."""
