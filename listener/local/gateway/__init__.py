"""The one public URL of the stack, as Supabase's gateway answers it: keys, CORS, and the way to each service."""
