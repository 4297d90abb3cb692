"""The part of Supabase Auth that signing in with a password needs, for the embedded stack; no registry carries GoTrue.

Answers and refusals are those of supabase/auth v2, whose stock clients it is held to; mails, providers and MFA lack.
"""
