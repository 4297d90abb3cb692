"""The gateway: the one public URL of the stack. Like Supabase's, it checks keys, answers CORS, forwards requests."""
