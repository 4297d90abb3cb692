/** How much of something is used: green, and amber from four fifths on. */
export function Meter({ value, most, label, width = 120 }: { value: number; most: number; label: string; width?: number }) {
  const part = most > 0 ? Math.min(1, value / most) : value > 0 ? 1 : 0
  return (
    <svg className="meter" width={width} height={6} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={most} aria-valuenow={value}>
      <rect className="meter-room" width={width} height={6} rx={3} />
      {part > 0 && <rect className={part >= 0.8 ? 'fill-warn' : 'fill-good'} width={Math.max(3, part * width)} height={6} rx={3} />}
    </svg>
  )
}
