/** What the person chose, kept in this browser. A browser that keeps nothing (private mode) still works. */
export function stored(key: string): string | null {
  try {
    return localStorage.getItem(`jobs.${key}`)
  } catch {
    return null
  }
}

export function store(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`jobs.${key}`)
    else localStorage.setItem(`jobs.${key}`, value)
  } catch {
    // nothing is kept
  }
}
