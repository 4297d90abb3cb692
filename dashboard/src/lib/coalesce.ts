/** A change of a row of `scheduled_jobs`, as Realtime delivers it; `row` has but the key where the row was deleted. */
export interface JobChange {
  type: 'INSERT' | 'UPDATE' | 'DELETE'
  row: JobRow
}

export type JobRow = { id: number } & Record<string, unknown>

/** The changes of one moment. `isPartial` where there were more than are kept: reload what is shown. */
export interface Changes {
  changes: JobChange[]
  isPartial: boolean
}

const MOST_JOBS = 500

/** Gathers changes, the newest of each job, and hands them on together `milliseconds` after the first. */
export class Coalescer {
  private readonly byJob = new Map<number, JobChange>()
  private isPartial = false
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly milliseconds: number,
    private readonly deliver: (batch: Changes) => void,
  ) {}

  add(change: JobChange): void {
    const earlier = this.byJob.get(change.row.id)
    if (!earlier && this.byJob.size >= MOST_JOBS) this.isPartial = true
    else this.byJob.set(change.row.id, earlier?.type === 'INSERT' && change.type === 'UPDATE' ? { ...change, type: 'INSERT' } : change)
    this.timer ??= setTimeout(() => this.flush(), this.milliseconds)
  }

  clear(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.byJob.clear()
    this.isPartial = false
  }

  private flush(): void {
    const batch = { changes: [...this.byJob.values()], isPartial: this.isPartial }
    this.clear()
    this.deliver(batch)
  }
}

/** Calls `act` at most once in so many milliseconds, now or later: what is asked for meanwhile is one call. */
export class Throttle {
  private last = -Infinity
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly act: () => void,
    private readonly gap: () => number,
  ) {}

  ask(): void {
    if (this.timer !== undefined) return
    const wait = Math.max(0, this.last + this.gap() - Date.now())
    this.timer = setTimeout(() => {
      this.timer = undefined
      this.last = Date.now()
      this.act()
    }, wait)
  }

  stop(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }
}
