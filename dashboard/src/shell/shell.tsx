import { useEffect, useRef, useState, type ReactNode } from 'react'
import { Link, useLocation } from 'wouter'
import { togglePause, useSubscription } from '../data/live'
import { useSession, useTenancy } from '../data/session'
import { nextTheme } from '../lib/theme'
import { go } from '../lib/urls'
import { Icon, type IconName } from '../ui/icon'
import { useAllCommands, useCommands, useKeyboard } from '../ui/keys'
import { Palette } from '../ui/palette'
import { useFoundJobs } from './found-jobs'
import { Help } from './help'
import { TopBar } from './top-bar'

interface Place {
  path: string
  title: string
  icon: IconName
  key?: string
}

const PLACES: Place[] = [
  { path: '/', title: 'Overview', icon: 'home', key: 'g o' },
  { path: '/jobs', title: 'Jobs', icon: 'jobs', key: 'g j' },
  { path: '/runs', title: 'Runs', icon: 'runs', key: 'g r' },
  { path: '/failures', title: 'Failures', icon: 'failures', key: 'g f' },
  { path: '/alerts', title: 'Alerts', icon: 'alerts', key: 'g a' },
  { path: '/listeners', title: 'Listeners', icon: 'listeners', key: 'g l' },
  { path: '/handlers', title: 'Handlers', icon: 'handlers', key: 'g h' },
  { path: '/audit', title: 'Audit', icon: 'audit', key: 'g u' },
  { path: '/workspace', title: 'Workspace', icon: 'workspace', key: 'g w' },
]

export function Shell({ children }: { children: ReactNode }) {
  const [path] = useLocation()
  const [shown, setShown] = useState<'palette' | 'help' | null>(null)
  const [isNavOpen, setIsNavOpen] = useState(false)
  const { user, state } = useSession()
  const tenancy = useTenancy()
  const place = PLACES.findLast((one) => path === one.path || path.startsWith(`${one.path}/`)) ?? PLACES[0]

  useSubscription(tenancy.workspace ? `workspace_id=eq.${tenancy.workspace}` : `created_by=eq.${user?.id}`, state === 'in')
  useKeyboard()
  useCommands([
    ...PLACES.map(({ path: target, title, key }) => ({ title: `Go to ${title.toLowerCase()}`, run: () => go(target), ...(key ? { key } : {}) })),
    { title: 'New job', key: 'n', run: () => go('/jobs/new'), why: tenancy.canWrite.why },
    ...[null, ...tenancy.workspaces].filter((one) => (one?.id ?? null) !== tenancy.workspace)
      .map((one) => ({ title: `Open the workspace ${one?.name ?? 'Private'}`, run: () => tenancy.open(one?.id ?? null) })),
    { title: 'Search', key: '/', run: focusSearch },
    { title: 'Pause or resume live updates', key: '.', run: togglePause },
    { title: 'Change the theme', run: nextTheme },
    { title: 'Keys', key: '?', run: () => setShown('help') },
    { title: 'Commands', key: 'mod k', run: () => setShown('palette'), isListed: false },
  ])
  const side = useRef<HTMLElement>(null)
  useEffect(() => {
    if (isNavOpen) side.current?.querySelector<HTMLElement>('[aria-current]')?.focus()
  }, [isNavOpen])
  useEffect(() => {
    setIsNavOpen(false)
    document.title = place ? `${place.title} · Jobs` : 'Jobs'
  }, [path])
  const commands = useAllCommands()

  return (
    <div className="shell">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus() }}>Skip to the page</a>
      <aside className="side" ref={side} data-open={isNavOpen || undefined} onKeyDown={(event) => event.key === 'Escape' && setIsNavOpen(false)}>
        <Link href="/" className="brand"><span className="brand-mark"><Icon name="clock" size={16} /></span>Jobs</Link>
        <nav aria-label="Pages">
          {PLACES.map((one) => (
            <Link key={one.path} href={one.path} className="place" aria-current={one === place ? 'page' : undefined} title={one.key ? `${one.title} (${one.key})` : one.title}>
              <Icon name={one.icon} />
              {one.title}
            </Link>
          ))}
        </nav>
      </aside>
      {isNavOpen && <div className="side-veil" onClick={() => setIsNavOpen(false)} />}
      <div className="column">
        <TopBar onMenu={() => setIsNavOpen(!isNavOpen)} isMenuOpen={isNavOpen} onPalette={() => setShown('palette')} onHelp={() => setShown('help')} />
        <main id="main" className="main" tabIndex={-1}>{children}</main>
      </div>
      {shown === 'palette' && <Palette commands={commands} useFound={useFoundJobs} onClose={() => setShown(null)} />}
      {shown === 'help' && <Help commands={commands} onClose={() => setShown(null)} />}
    </div>
  )
}

function focusSearch(): void {
  const field = document.querySelector<HTMLInputElement>('[data-search]')
  if (field) field.focus()
  else go('/jobs')
}
