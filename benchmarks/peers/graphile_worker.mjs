// Graphile Worker with its local queue and its batched completions, which its documentation recommends for throughput.
import { Logger, run, runMigrations } from 'graphile-worker'
import pg from 'pg'
import { drill } from './drill.mjs'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const preset = {
  worker: {
    logger: new Logger(() => () => {}), // a line for each job would be what is measured
    concurrentJobs: 24,
    maxPoolSize: 10,
    pollInterval: 1000,
    localQueue: { size: 500, ttl: 60_000, refetchDelay: { durationMs: 10, threshold: 0 } },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
}

let taskList
await drill(
  {
    async prepare(started) {
      taskList = { noop: async ({ number }) => started(number) }
      await runMigrations({ pgPool: pool })
    },
    async enqueue(due, first) {
      await pool.query(
        `select graphile_worker.add_job('noop', json_build_object('number', $2::int + n - 1), run_at := coalesce(to_timestamp(at), now()))
         from unnest($1::float8[]) with ordinality as due (at, n)`,
        [due, first],
      )
    },
    work: () => run({ pgPool: pool, taskList, preset, noHandleSignals: true }),
  },
  process.argv[2],
)
