import { Link } from 'wouter'
import type { Overview } from '../../data/types'
import { go } from '../../lib/urls'
import { Line, Panel, StatusBadge } from '../../ui/basics'
import { Table } from '../../ui/table'
import { Time } from '../../ui/time'

export function NewestFailures({ failures }: { failures: Overview['failures'] }) {
  return (
    <Panel title="Newest failures" className="whole" acts={<Link href="/failures">All failures</Link>}>
      {failures.newest.length === 0
        ? <p className="panel-body muted">Nothing failed in 24 hours.</p>
        : (
          <Table
            label="Newest failures" rows={failures.newest} idOf={(row) => row.id} onOpen={(row) => go(`/runs/${row.id}`)}
            columns={[
              { key: 'job', title: 'Job', width: '24%', cell: (row) => <><Link href={`/runs/${row.id}`}><Line value={row.name ?? row.job_id} /></Link><span className="narrow"><Line value={row.error ?? '–'} className="mono soft" /></span></> },
              { key: 'handler', title: 'Handler', width: '10.5rem', isMinor: true, cell: (row) => <Line value={row.handler} className="mono" /> },
              { key: 'error', title: 'Error', isMinor: true, cell: (row) => <Line value={row.error ?? '–'} className="mono soft" /> },
              { key: 'reason', title: 'Reason', width: '11.5rem', isMinor: true, cell: (row) => <StatusBadge status="failed" reason={row.reason} /> },
              { key: 'at', title: 'Ended', width: '7rem', align: 'end', cell: (row) => <Time at={row.completed_at} as="relative" /> },
            ]}
          />
        )}
    </Panel>
  )
}
