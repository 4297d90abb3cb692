// pg-boss, polling as often as it allows; for throughput in batches so large that the polls do not bound it.
import PgBoss from 'pg-boss'
import { drill } from './drill.mjs'

const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, max: 10 })
boss.on('error', console.error)

let handle
await drill(
  {
    async prepare(started) {
      handle = async (jobs) => jobs.forEach((job) => started(job.data.number))
      await boss.start()
      await boss.createQueue('noop')
    },
    async enqueue(due, first) {
      const jobs = due.map((at, index) => ({
        name: 'noop',
        data: { number: first + index },
        ...(at === null ? {} : { startAfter: new Date(at * 1000).toISOString() }),
      }))
      for (let from = 0; from < jobs.length; from += 1000) await boss.insert(jobs.slice(from, from + 1000))
    },
    async work() {
      const batchSize = process.argv[2] === 'throughput' ? 2000 : 100
      for (let n = 0; n < 4; n++) await boss.work('noop', { batchSize, pollingIntervalSeconds: 0.5 }, handle)
    },
  },
  process.argv[2],
)
