export const SLOT_MILLISECONDS = 600_000
const FEWEST = 10
const TIMES_THE_REST = 3

/** The places of the slots that have at least ten jobs, and three times as many as the others have on average. */
export function peaks(counts: number[]): number[] {
  const all = counts.reduce((sum, jobs) => sum + jobs, 0)
  return counts.flatMap((jobs, place) => {
    const rest = (all - jobs) / Math.max(1, counts.length - 1)
    return jobs >= FEWEST && jobs >= TIMES_THE_REST * rest ? [place] : []
  })
}
