import { togglePause, useLiveState, type LiveState } from '../data/live'
import { useSession, useTenancy } from '../data/session'
import { nextTheme, theme } from '../lib/theme'
import { useStore } from '../lib/store'
import { visible } from '../lib/text'
import { chooseZone, LOCAL_ZONE, zoneChoice, type ZoneChoice } from '../lib/time'
import { Icon } from '../ui/icon'
import { Keys } from '../ui/keys'
import { showRefusal } from '../ui/toast'

interface TopBarProps {
  onMenu: () => void
  isMenuOpen: boolean
  onPalette: () => void
  onHelp: () => void
}

export function TopBar({ onMenu, isMenuOpen, onPalette, onHelp }: TopBarProps) {
  const { user, signOut } = useSession()
  const shownTheme = useStore(theme)
  return (
    <header className="top">
      <button type="button" className="icon-button only-narrow" aria-label="Pages" aria-expanded={isMenuOpen} onClick={onMenu}><Icon name="menu" /></button>
      <Switcher />
      <button type="button" className="palette-button" onClick={onPalette}>
        <Icon name="search" size={14} />
        <span className="words">Search or act</span>
        <span className="only-wide" aria-hidden="true"><Keys keys="mod k" /></span>
      </button>
      <span className="spring" />
      <LiveDot />
      <Zone />
      <button type="button" className="icon-button" aria-label={`Theme: ${shownTheme}`} title={`Theme: ${shownTheme}`} onClick={nextTheme}>
        <Icon name={shownTheme === 'light' ? 'sun' : shownTheme === 'dark' ? 'moon' : 'screen'} />
      </button>
      <button type="button" className="icon-button only-wide" aria-label="Keys" title="Keys (?)" onClick={onHelp}><Icon name="help" /></button>
      <details className="menu">
        <summary className="icon-button" aria-label="Account"><Icon name="user" /></summary>
        <div className="menu-body">
          <p className="muted"><bdi>{visible(user?.email ?? '')}</bdi></p>
          <button type="button" className="menu-item" onClick={() => void signOut().catch((fault: unknown) => showRefusal(fault, () => void signOut()))}>Sign out</button>
        </div>
      </details>
    </header>
  )
}

function Switcher() {
  const { workspace, workspaces, role, open } = useTenancy()
  return (
    <div className="switcher">
      <select className="select" aria-label="Workspace" value={workspace ?? ''} onChange={(event) => open(event.currentTarget.value || null)}>
        {workspaces.map((one) => <option key={one.id} value={one.id}>{visible(one.name)}</option>)}
        <option value="">Private jobs</option>
      </select>
      <span className="badge tone-plain role">{role}</span>
    </div>
  )
}

const LIVE: Record<LiveState, { word: string; title: string }> = {
  live: { word: 'Live', title: 'Changes arrive as they happen' },
  polling: { word: 'Polling', title: 'No changes arrive from Realtime; the page asks every 15 seconds' },
  offline: { word: 'Offline', title: 'Supabase cannot be reached; what is shown is what was read last' },
  paused: { word: 'Paused', title: 'Updates are paused' },
}

function LiveDot() {
  const state = useLiveState()
  const isPaused = state === 'paused'
  return (
    <button type="button" className="live" data-state={state} title={`${LIVE[state].title}. Press . to ${isPaused ? 'resume' : 'pause'}.`} aria-pressed={isPaused} onClick={togglePause}>
      <span className="live-dot" />
      <span role="status">{LIVE[state].word}</span>
      <Icon name={isPaused ? 'play' : 'pause'} size={12} />
    </button>
  )
}

function Zone() {
  const choice = useStore(zoneChoice)
  return (
    <select className="select zone" aria-label="Time zone" title={`Local: ${LOCAL_ZONE}. Job’s: the zone of the job that is shown.`} value={choice} onChange={(event) => chooseZone(event.currentTarget.value as ZoneChoice)}>
      <option value="local">Local</option>
      <option value="utc">UTC</option>
      <option value="job">Job’s</option>
    </select>
  )
}
