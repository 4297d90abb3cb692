"""A Realtime server that speaks the protocol of Supabase's, over logical decoding.

The path of a change: `replication` (the stream) → `intake` (drops unwanted changes) → `delivery` (filters, policies,
JSON) → `channel` → `sockets`. Tests compare its frames with conversations recorded from Supabase Realtime v2.122.0.
The stream has the tables of `supabase_realtime` that a subscription names, and no others (`subscribed_tables`).

It differs where the real server's behaviour is a fault, or only a matter of time:

- Changes are pushed, about a millisecond after the commit; the real server polls, every half second when idle.
- One subscriber whose claims make a policy raise receives nothing, and the log warns; there, every subscriber of
  every table receives nothing.
- A new token takes effect at once; there, the old one counts for another second or two.
- Refusals come at once and nothing is dropped for a rate limit; with `--as-hosted` (REALTIME_AS_HOSTED=true) a refused
  connection waits 2 s, a refused join holds its socket up for 5 s, and 100 changes a second on average are delivered.
- Changes flow again within two seconds of a restart of PostgreSQL; there, within 8 to 23. In both what was committed in
  between is lost, and no frame says so.
- The first subscription to a table is confirmed once nobody holds the table with a VACUUM, DDL or a lock, and once the
  transactions that have written it are over. One that stays open for five seconds delays it no longer; what that one
  wrote before is not delivered.
- Generated columns are left out on PostgreSQL before 18, whose stream lacks them; there, they come on every version.
- Not served: several projects by host name, and partitions of `realtime.messages`.
"""
