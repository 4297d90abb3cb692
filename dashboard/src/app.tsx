import { lazy, Suspense } from 'react'
import { Route, Router, Switch, useLocation } from 'wouter'
import { useSession, TenancyProvider } from './data/session'
import { hashHref, useHashPath, useHashSearch } from './lib/urls'
import SignIn, { SignInAgain } from './pages/sign-in'
import { Shell } from './shell/shell'
import { Boundary } from './ui/boundary'
import { Empty, ErrorNote, Skeleton } from './ui/basics'
import { Toasts } from './ui/toast'

const ROUTES = [
  ['/', lazy(() => import('./pages/overview'))],
  ['/jobs', lazy(() => import('./pages/jobs'))],
  ['/jobs/new', lazy(() => import('./pages/job-edit'))],
  ['/jobs/:id/edit', lazy(() => import('./pages/job-edit'))],
  ['/jobs/:id', lazy(() => import('./pages/job'))],
  ['/runs', lazy(() => import('./pages/runs'))],
  ['/runs/:id', lazy(() => import('./pages/run'))],
  ['/failures', lazy(() => import('./pages/failures'))],
  ['/alerts', lazy(() => import('./pages/alerts'))],
  ['/listeners', lazy(() => import('./pages/listeners'))],
  ['/handlers', lazy(() => import('./pages/handlers'))],
  ['/audit', lazy(() => import('./pages/audit'))],
  ['/workspace', lazy(() => import('./pages/workspace'))],
] as const

export function App() {
  return (
    <Router hook={useHashPath} searchHook={useHashSearch} hrefs={hashHref}>
      <SignedIn />
      <Toasts />
    </Router>
  )
}

function SignedIn() {
  const { state } = useSession()
  if (state === 'loading') return <main className="alone"><Skeleton rows={3} /></main>
  if (state === 'out') return <SignIn />
  return (
    <TenancyProvider fallback={(fault, retry) => <main className="alone">{fault ? <ErrorNote error={fault} retry={retry} /> : <Skeleton rows={3} />}</main>}>
      <Shell>
        <Pages />
      </Shell>
      {state === 'expired' && <SignInAgain />}
    </TenancyProvider>
  )
}

function Pages() {
  const [path] = useLocation()
  return (
    <Boundary at={path}>
      <Suspense fallback={<><h1 className="visually-hidden">Loading</h1><Skeleton rows={8} /></>}>
        <Switch>
          {ROUTES.map(([pattern, Page]) => <Route key={pattern} path={pattern} component={Page} />)}
          <Route><Empty icon="search" title="No such page"><p className="muted">The address leads nowhere. Press <kbd>g</kbd> <kbd>o</kbd> for the overview.</p></Empty></Route>
        </Switch>
      </Suspense>
    </Boundary>
  )
}
