import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { useLayoutEffect, useState, type RefObject } from 'react'

const FEWEST = 100
const ROW_PIXELS = 37
const OVERSCAN = 15

export interface RowWindow {
  first: number
  /** One behind the last. */
  end: number
  before: number
  after: number
  measure: ((row: Element | null) => void) | undefined
}

/** Which rows of a long table are near what is seen, and the room that the others take. */
export function useRowWindow(count: number, body: RefObject<HTMLElement | null>): RowWindow {
  const [margin, setMargin] = useState(0)
  const isLong = count > FEWEST
  useLayoutEffect(() => {
    if (isLong && body.current) setMargin(body.current.getBoundingClientRect().top + scrollY)
  }, [isLong])
  const virtual = useWindowVirtualizer({ count: isLong ? count : 0, estimateSize: () => ROW_PIXELS, overscan: OVERSCAN, scrollMargin: margin })
  if (!isLong) return { first: 0, end: count, before: 0, after: 0, measure: undefined }
  const items = virtual.getVirtualItems()
  const [first, last] = [items[0], items.at(-1)]
  return {
    first: first?.index ?? 0,
    end: last ? last.index + 1 : Math.min(count, FEWEST),
    before: first ? first.start - margin : 0,
    after: last ? virtual.getTotalSize() - (last.end - margin) : 0,
    measure: virtual.measureElement,
  }
}
