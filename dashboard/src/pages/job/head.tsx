import { useState } from 'react'
import { go } from '../../lib/urls'
import { hasZone, scheduleWords } from '../../lib/schedule'
import { useCronWords } from '../../lib/use-cron-words'
import { Button, PageHead, StatusBadge, Text } from '../../ui/basics'
import { CopyButton } from '../../ui/copy'
import { Confirm } from '../../ui/dialog'
import { useCommands } from '../../ui/keys'
import { Time } from '../../ui/time'
import type { JobRow } from '../job-edit/row'
import { titleOf } from '../jobs/list'
import { type Act, useJobActs } from './acts'

/** What the job is and does now, and what one can do with it. */
export function Head({ job }: { job: JobRow }) {
  const acts = useJobActs(job)
  const [asks, setAsks] = useState<Act | null>(null)
  useCronWords(job.trigger_type === 'cron')
  const edit = () => go(`/jobs/${job.id}/edit`)
  const hold: Act = job.status === 'paused' ? 'resume' : 'pause'
  const hasEnded = ['completed', 'failed', 'cancelled'].includes(job.status)
  useCommands([
    { title: 'Run now', key: 'r', run: () => acts.do('run'), why: acts.right('run').why },
    { title: 'Run in test mode', run: () => acts.do('rehearse'), why: acts.right('rehearse').why },
    { title: hold === 'resume' ? 'Resume' : 'Pause', key: 'p', run: () => acts.do(hold), why: acts.right(hold).why },
    { title: 'Edit', key: 'e', run: edit, why: acts.canEdit.why },
    { title: 'Cancel the job', run: () => setAsks('cancel'), why: acts.right('cancel').why },
    { title: 'Schedule again', run: () => acts.do('retry'), why: acts.right('retry').why },
    { title: 'Delete the job', run: () => acts.do('delete'), why: acts.right('delete').why },
  ])
  return (
    <>
      <PageHead title={<Text value={titleOf(job)} most={200} />} lead={<Lead job={job} />}>
        <Button icon="play" kind="primary" right={acts.right('run')} isBusy={acts.isBusy} onClick={() => acts.do('run')}>Run now</Button>
        <Button right={acts.right('rehearse')} isBusy={acts.isBusy} onClick={() => acts.do('rehearse')}>Run in test mode</Button>
        {!hasEnded && <Button icon={hold === 'resume' ? 'play' : 'pause'} right={acts.right(hold)} onClick={() => acts.do(hold)}>{hold === 'resume' ? 'Resume' : 'Pause'}</Button>}
        {hasEnded && <Button icon="retry" right={acts.right('retry')} onClick={() => acts.do('retry')}>{job.trigger_type === 'once' ? 'Retry' : 'Schedule again'}</Button>}
        <Button icon="edit" right={acts.canEdit} onClick={edit}>Edit</Button>
        {(!hasEnded || job.queued_runs > 0) && <Button icon="stop" kind="danger" right={acts.right('cancel')} onClick={() => setAsks('cancel')}>Cancel job</Button>}
        <Button icon="trash" kind="danger" right={acts.right('delete')} onClick={() => acts.do('delete')}>Delete</Button>
      </PageHead>
      {job.description && <p className="job-description"><Text value={job.description} most={600} /></p>}
      {job.error && job.status !== 'completed' && <p className="job-error bad"><Text value={job.error} most={300} /></p>}
      {asks === 'cancel' && (
        <Confirm
          title="Cancel this job?" confirm="Cancel the job" isDanger onClose={() => setAsks(null)}
          onConfirm={() => { setAsks(null); acts.do('cancel') }}
        >
          <p>{job.status === 'running' ? 'The run that goes on is stopped, and nothing follows it.' : 'Nothing of it runs any more.'} It can be scheduled again later.</p>
        </Confirm>
      )}
    </>
  )
}

function Lead({ job }: { job: JobRow }) {
  const percent = job.status === 'running' && job.progress !== null ? Math.round(job.progress * 100) : null
  return (
    <span className="job-lead">
      <StatusBadge status={job.status} />
      {percent !== null && <span><progress className="job-progress" max={100} value={percent} aria-label="Progress" /> {percent} %{job.step && <> · <Text value={job.step} most={120} /></>}</span>}
      <span><bdi>{scheduleWords(job)}</bdi>{hasZone(job.trigger_type) && <>, {job.timezone}</>}</span>
      {job.next_run_at && <span>next <Time at={job.next_run_at} zone={job.timezone} as="both" /></span>}
      <span className="mono"><Text value={job.handler} most={80} /></span>
      <span>job {job.id}</span>
      <span className="job-key mono"><Text value={job.job_id} most={80} /><CopyButton text={job.job_id} label="Copy the job's key" /></span>
    </span>
  )
}
