"""A job scheduler for Supabase projects: insert a row, it runs on time, watch it live."""
