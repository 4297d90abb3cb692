// What every peer is put through: the same jobs, in its own process, timed in its own handler.
// A peer has prepare(started), enqueue(due, first) and work(); due is seconds since 1970, or null for at once.

const JOBS = { throughput: 20_000, lateness: 2_000, together: 1_000, pickup: 100 }
const now = () => (performance.timeOrigin + performance.now()) / 1000
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

function summary(values) {
  const ordered = values.sort((a, b) => a - b)
  const at = (index) => Math.round(ordered[index] * 100) / 100
  const count = ordered.length
  return { p50_ms: at(count >> 1), p99_ms: at(Math.floor(0.99 * count)), max_ms: at(count - 1) }
}

// The same numbers in every run: a linear congruential generator (Numerical Recipes).
function chance() {
  let state = 1
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
}

export async function drill(peer, measurement) {
  const count = JOBS[measurement]
  const began = new Map()
  let all
  const finished = new Promise((done) => (all = done))
  await peer.prepare((number) => {
    if (!began.has(number)) began.set(number, now())
    if (began.size === count) all()
  })
  const late = async (due) => {
    await peer.work()
    await peer.enqueue(due, 0)
    await finished
    return summary(due.map((at, number) => (began.get(number) - at) * 1000))
  }
  const measurements = {
    async throughput() {
      await peer.enqueue(Array(count).fill(null), 0)
      const start = now()
      await peer.work()
      await finished
      return { jobs_per_second: Math.round(count / (now() - start)) }
    },
    async lateness() {
      const start = now() + 8
      const next = chance()
      return late(Array.from({ length: count }, () => start + 20 * next()))
    },
    async together() {
      return late(Array(count).fill(now() + 8))
    },
    async pickup() {
      await peer.work()
      await sleep(2000)
      const seen = []
      for (let number = 0; number < count; number++) {
        await peer.enqueue([null], number)
        const committed = now()
        while (!began.has(number)) await sleep(1)
        seen.push((began.get(number) - committed) * 1000)
      }
      return summary(seen)
    },
  }
  setTimeout(() => process.exit(1), 180_000).unref()
  console.log(JSON.stringify(await measurements[measurement]()))
  process.exit(0)
}
