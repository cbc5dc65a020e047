import {
  Button,
  makeStyles,
  mergeClasses,
  MessageBar,
  MessageBarBody,
  MessageBarTitle,
  Spinner,
  Subtitle1,
  Text,
  tokens,
  Tooltip,
} from '@fluentui/react-components'
import { WeatherMoonRegular, WeatherSunnyRegular } from '@fluentui/react-icons'
import { QueryClientProvider } from '@tanstack/react-query'
import {
  createElement,
  Suspense,
  use,
  useEffect,
  useMemo,
  useRef,
  useState,
  type ComponentType,
  type ReactNode,
} from 'react'
import {
  HashRouter,
  Link,
  Navigate,
  NavigationType,
  NavLink,
  Route,
  Routes,
  useLocation,
  useNavigationType,
} from 'react-router'

import { followingOf, useFollowedChanges, useFreshness } from '../hooks/useHealth'
import { useNow } from '../hooks/useNow'
import { ScoutReact, useScout } from '../hooks/useScout'
import type { ThemeSwitch } from '../hooks/useTheme'
import type { Config } from '../lib/config'
import { formats } from '../lib/format'
import { createQueryClient } from '../lib/queries'
import { CONNECTING, watchChanges } from '../lib/realtime'
import type { Scout } from '../lib/supabase'
import { Overview } from '../pages/Overview'
import { LiveBadge } from './LiveBadge'
import { Logo } from './Logo'
import { PageBoundary } from './PageBoundary'

type Module = Promise<{ default: ComponentType }>

// The overview is part of the first load. The browser loads the other pages when they are opened.
const LAZY = {
  metric: () => import('../pages/Metric'),
  flagged: () => import('../pages/Flagged'),
  health: () => import('../pages/Health'),
}
/** The modules by page. React's `lazy` keeps a failed import forever; here a retry deletes it. */
const modules = new Map<string, Module>()

function load(page: keyof typeof LAZY): Module {
  const module = modules.get(page) ?? LAZY[page]()
  modules.set(page, module)
  return module
}

function LazyPage({ page }: { page: keyof typeof LAZY }) {
  return createElement(use(load(page)).default)
}

const LINKS = [
  ['/overview', 'Overview'],
  ['/flagged', 'Flagged'],
  ['/health', 'Sync health'],
] as const

const useStyles = makeStyles({
  header: {
    position: 'sticky',
    top: 0,
    zIndex: 10,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  bar: {
    display: 'flex',
    flexWrap: 'wrap',
    alignItems: 'center',
    columnGap: '24px',
    maxWidth: '1440px',
    margin: '0 auto',
    padding: '0 24px',
    minHeight: '56px',
    '@media (max-width: 600px)': { padding: '8px 12px 0', columnGap: '8px' },
  },
  brand: {
    display: 'flex',
    alignItems: 'center',
    columnGap: '10px',
    color: 'inherit',
    textDecorationLine: 'none',
  },
  nav: {
    display: 'flex',
    alignSelf: 'stretch',
    columnGap: '4px',
    '@media (max-width: 600px)': { order: 3, width: '100%', minHeight: '44px' },
  },
  link: {
    display: 'flex',
    alignItems: 'center',
    padding: '0 12px',
    color: tokens.colorNeutralForeground2,
    textDecorationLine: 'none',
    borderBottom: '3px solid transparent',
    borderTop: '3px solid transparent',
    ':hover': {
      color: tokens.colorNeutralForeground1,
      borderBottomColor: tokens.colorNeutralStroke1,
    },
    '@media (max-width: 600px)': { flexGrow: 1, justifyContent: 'center', padding: '0 4px' },
  },
  current: {
    color: tokens.colorNeutralForeground1,
    fontWeight: tokens.fontWeightSemibold,
    borderBottomColor: tokens.colorBrandStroke1,
    ':hover': { borderBottomColor: tokens.colorBrandStroke1 },
  },
  tools: {
    display: 'flex',
    alignItems: 'center',
    columnGap: '8px',
    '@media (max-width: 1000px)': { marginLeft: 'auto' },
  },
  main: {
    maxWidth: '1440px',
    margin: '0 auto',
    padding: '24px',
    outlineStyle: 'none',
    '@media (max-width: 600px)': { padding: '16px 12px' },
  },
  // On narrow screens the text gets its own line.
  synced: {
    marginLeft: 'auto',
    color: tokens.colorNeutralForeground3,
    '@media (max-width: 1000px)': {
      order: 2,
      width: '100%',
      marginLeft: 0,
      fontSize: tokens.fontSizeBase200,
      lineHeight: tokens.lineHeightBase200,
      paddingBottom: '4px',
    },
    '@media (max-width: 600px)': { paddingTop: '4px', paddingBottom: 0 },
  },
  stale: { marginBottom: '16px' },
  skip: {
    position: 'absolute',
    left: '-9999px',
    ':focus': {
      left: '12px',
      top: '12px',
      zIndex: 20,
      padding: '8px',
      backgroundColor: tokens.colorNeutralBackground1,
    },
  },
})

interface FrameProps {
  theme: ThemeSwitch
  userMenu: ReactNode
}

/** The pages of a signed-in user, with what they share. */
export function Shell({ scout, config, ...props }: FrameProps & { scout: Scout; config: Config }) {
  const [client] = useState(createQueryClient)
  const [realtime, setRealtime] = useState(CONNECTING)
  useEffect(() => watchChanges(scout, client, config, setRealtime), [scout, client, config])
  const context = useMemo(
    () => ({ scout, realtime, config, formats: formats(navigator.languages, config.currency) }),
    [scout, realtime, config],
  )
  return (
    <ScoutReact value={context}>
      <QueryClientProvider client={client}>
        {/* In a transition, React would reset a controlled field after each keystroke. */}
        <HashRouter useTransitions={false}>
          <FollowedChanges />
          <Frame {...props} />
        </HashRouter>
      </QueryClientProvider>
    </ScoutReact>
  )
}

// `useFreshness` renders its component with each poll, so only small components use it.

function FollowedChanges() {
  useFollowedChanges()
  return null
}

/** The header with its navigation, and the page of the current address. */
function Frame({ theme, userMenu }: FrameProps) {
  const styles = useStyles()
  const { pathname } = useLocation()
  useArrival(pathname)
  const switchTheme = `Switch to the ${theme.dark ? 'light' : 'dark'} theme`
  return (
    <>
      <button
        type="button"
        className={styles.skip}
        onClick={() => document.getElementById('main')?.focus()}
      >
        Skip to the content
      </button>
      <header className={styles.header}>
        <div className={styles.bar}>
          <Link to="/overview" className={styles.brand} aria-label="Scout, go to the overview">
            <Logo />
            <Subtitle1>Scout</Subtitle1>
          </Link>
          <nav className={styles.nav} aria-label="Pages">
            {LINKS.map(([path, title]) => (
              <NavLink
                key={path}
                to={path}
                className={({ isActive }) => mergeClasses(styles.link, isActive && styles.current)}
              >
                {title}
              </NavLink>
            ))}
          </nav>
          <Synced />
          <div className={styles.tools}>
            <LiveBadge />
            <Tooltip content={switchTheme} relationship="label">
              <Button
                appearance="subtle"
                icon={theme.dark ? <WeatherSunnyRegular /> : <WeatherMoonRegular />}
                onClick={theme.toggle}
              />
            </Tooltip>
            {userMenu}
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1} className={styles.main}>
        <Staleness />
        {/* The key resets the boundary when the user opens another page. */}
        <PageBoundary key={pathname} onRetry={() => modules.delete(pathname.split('/')[1] ?? '')}>
          <Suspense fallback={<Spinner label="Loading" style={{ paddingTop: '20vh' }} />}>
            <Routes>
              <Route path="/overview" element={<Overview />} />
              <Route path="/metric/:code" element={<LazyPage page="metric" />} />
              <Route path="/flagged" element={<LazyPage page="flagged" />} />
              <Route path="/health" element={<LazyPage page="health" />} />
              <Route path="*" element={<Navigate to="/overview" replace />} />
            </Routes>
          </Suspense>
        </PageBoundary>
      </main>
    </>
  )
}

/** Moves the scroll position and the focus to the start of each page but the first. */
function useArrival(pathname: string): void {
  const before = useRef(pathname)
  const navigation = useNavigationType()
  useEffect(() => {
    if (before.current === pathname) return
    before.current = pathname
    // The router has redirected; the user has not navigated.
    if (navigation === NavigationType.Replace) return
    window.scrollTo(0, 0)
    document.getElementById('main')?.focus({ preventScroll: true })
  }, [pathname, navigation])
}

/** Says when the mirror was last compared with Odoo. */
function Synced() {
  const styles = useStyles()
  const { formats } = useScout()
  const now = useNow()
  const freshness = useFreshness()
  const { synced } = followingOf(freshness)
  const text = synced
    ? `Synced ${formats.ago(synced, now)}`
    : freshness.data?.state === 'seen'
      ? 'Never compared with Odoo'
      : 'Freshness unknown'
  return <Text className={styles.synced}>{freshness.data && text}</Text>
}

/** Warns if the data is stale. */
function Staleness() {
  const styles = useStyles()
  const { config, formats } = useScout()
  const now = useNow()
  const { synced } = followingOf(useFreshness())
  if (!synced || now.getTime() - synced.getTime() < config.staleMinutes * 60_000) return null
  return (
    <MessageBar intent="warning" layout="multiline" className={styles.stale}>
      <MessageBarBody>
        <MessageBarTitle>The data may be stale</MessageBarTitle>
        The mirror was last compared with Odoo {formats.ago(synced, now)}.{' '}
        <Link to="/health">See the sync health</Link>
      </MessageBarBody>
    </MessageBar>
  )
}
