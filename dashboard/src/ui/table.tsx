import { useEffect, useRef, useState, type ReactNode } from 'react'
import { useCommands } from './keys'
import { useRowWindow } from './window'

export interface Column<Row> {
  key: string
  title: ReactNode
  cell: (row: Row) => ReactNode
  align?: 'end'
  /** A CSS width, such as "8rem"; the others share what is left. */
  width?: string
  /** Left out where the page is narrow. */
  isMinor?: boolean
}

interface TableProps<Row> {
  label: string
  columns: Column<Row>[]
  rows: Row[]
  idOf: (row: Row) => string | number
  /** What Enter and a click do. */
  onOpen?: (row: Row) => void
  /** Keys that act on the row that j and k chose. */
  onChosen?: (row: Row | null) => void
  rowClass?: (row: Row) => string | undefined
}

/** A dense table. `j` and `k` choose a row, Enter opens it. */
export function Table<Row>({ label, columns, rows, idOf, onOpen, onChosen, rowClass }: TableProps<Row>) {
  const [chosenId, setChosenId] = useState<string | number | null>(null)
  const body = useRef<HTMLTableSectionElement>(null)
  const index = rows.findIndex((row) => idOf(row) === chosenId)
  const chosen = rows[index] ?? null
  const { first, end, before, after, measure } = useRowWindow(rows.length, body)

  useEffect(() => onChosen?.(chosen), [chosenId, chosen === null])

  const move = (step: number) => {
    const next = rows[Math.max(0, Math.min(rows.length - 1, index < 0 ? (step > 0 ? 0 : rows.length - 1) : index + step))]
    if (!next) return
    setChosenId(idOf(next))
    onChosen?.(next) // at once: the next key may act on it
    body.current?.querySelector(`[data-row="${CSS.escape(String(idOf(next)))}"]`)?.scrollIntoView({ block: 'nearest' })
  }
  useCommands([
    { title: 'Next row', key: 'j', run: () => move(1), isListed: false },
    { title: 'Previous row', key: 'k', run: () => move(-1), isListed: false },
    ...(onOpen && chosen ? [{ title: 'Open the row', key: 'Enter', run: () => onOpen(chosen), isListed: false }] : []),
  ])
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={label}>
      <table className={`table ${columns.filter((column) => !column.isMinor).length > 3 ? 'many' : ''}`} aria-rowcount={rows.length + 1}>
        <colgroup>{columns.map((column) => <col key={column.key} className={column.isMinor ? 'minor' : ''} style={column.width ? { width: column.width } : undefined} />)}</colgroup>
        <thead>
          <tr>{columns.map((column) => <th key={column.key} scope="col" className={classOf(column)}>{column.title}</th>)}</tr>
        </thead>
        <tbody ref={body}>
          {before > 0 && <tr className="room" aria-hidden="true"><td colSpan={columns.length} style={{ height: before }} /></tr>}
          {rows.slice(first, end).map((row, place) => (
            <tr
              key={idOf(row)} ref={measure} data-index={first + place} data-row={idOf(row)} data-chosen={idOf(row) === chosenId || undefined}
              className={`${onOpen ? 'opens' : ''} ${rowClass?.(row) ?? ''}`}
              onClick={(event) => {
                if ((event.target as Element).closest('a, button, input, label, summary') || getSelection()?.toString()) return
                onOpen?.(row)
              }}
            >
              {columns.map((column) => <td key={column.key} className={classOf(column)}>{column.cell(row)}</td>)}
            </tr>
          ))}
          {after > 0 && <tr className="room" aria-hidden="true"><td colSpan={columns.length} style={{ height: after }} /></tr>}
        </tbody>
      </table>
    </div>
  )
}

function classOf<Row>(column: Column<Row>): string {
  return `${column.align === 'end' ? 'end' : ''} ${column.isMinor ? 'minor' : ''}`
}

/** Loads the next page once its place comes near; the button is for keyboards. */
export function More({ hasMore, isLoading, load }: { hasMore: boolean; isLoading: boolean; load: () => void }) {
  const element = useRef<HTMLDivElement>(null)
  const latest = useRef(load)
  latest.current = load
  useEffect(() => {
    if (!hasMore || isLoading || !element.current) return
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && latest.current(), { rootMargin: '400px' })
    observer.observe(element.current)
    return () => observer.disconnect()
  }, [hasMore, isLoading])
  if (!hasMore) return null
  return (
    <div className="more" ref={element}>
      <button type="button" className="button small" aria-busy={isLoading} onClick={load}>{isLoading ? 'Loading…' : 'More'}</button>
    </div>
  )
}
