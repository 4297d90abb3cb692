import { useRef } from 'react'

let made = 0

/** Stable keys for the rows of a list that only its own buttons lengthen and shorten. */
export function useRowKeys(length: number): { keys: string[]; drop: (place: number) => void } {
  const keys = useRef<string[]>([])
  while (keys.current.length < length) keys.current.push(`row-${made++}`)
  keys.current.length = length
  return {
    keys: keys.current,
    drop: (place) => {
      keys.current.splice(place, 1)
    },
  }
}
