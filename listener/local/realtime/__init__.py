"""A Realtime server that speaks the protocol of Supabase's, over logical decoding.

A change goes: `replication` (the stream) → `intake` (drops what nobody wants) → `delivery` (filters, policies, JSON) →
`channel` → `sockets`. What it says is held to conversations recorded from Supabase Realtime v2.122.0.

It differs where the real server's behaviour is a fault, or only a matter of time:

- Changes are pushed, about a millisecond after the commit; the real server polls, every half second when idle.
- One subscriber whose claims make a policy raise hears nothing; there, it silences every subscriber of every table.
- A new token takes effect between two changes; there, changes of the second or two in between are lost.
- Refusals come at once; there, a refused connection waits 2 s and a refused join 5 s, which block the socket.
- After the stream was lost, channels are told "Subscribed to PostgreSQL" again. What was committed in between is lost,
  as it is there.
- The rate limit is off unless it is asked for.
- Not served: broadcast over HTTP, and partitions of `realtime.messages`.
"""
