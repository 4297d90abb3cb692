import { useEffect, useState } from 'react'
import { loadCronWords } from './schedule'

/** Has cron expressions put into words where there are any, once those are loaded. */
export function useCronWords(isNeeded: boolean): void {
  const [, setLoaded] = useState(false)
  useEffect(() => {
    if (isNeeded) void loadCronWords().then(() => setLoaded(true), () => undefined)
  }, [isNeeded])
}
