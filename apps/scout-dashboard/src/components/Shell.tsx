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
import {
  createElement,
  Suspense,
  use,
  useEffect,
  useMemo,
  useRef,
  type ComponentType,
  type ReactNode,
} from 'react'

import { useFreshness, type SampleDelta, type Seen } from '../hooks/useHealth'
import { useNow } from '../hooks/useNow'
import { ScoutReact, useScout } from '../hooks/useScout'
import type { Config } from '../lib/config'
import { formats } from '../lib/format'
import { Live } from '../lib/live'
import { href, useRoute, type Route } from '../lib/route'
import type { Scout } from '../lib/supabase'
import { Overview } from '../pages/Overview'
import { LiveBadge } from './LiveBadge'
import { Logo } from './Logo'
import { PageBoundary } from './PageBoundary'

interface PageProps {
  code: string
  query: URLSearchParams
}
type Module = Promise<{ default: ComponentType<PageProps> }>

// The overview is what one opens; the rest comes when it is wanted.
const LATER: Record<string, () => Module> = {
  metric: () => import('../pages/Metric'),
  alerts: () => import('../pages/Alerts'),
  health: () => import('../pages/Health'),
}
/** What came, or is on its way. Not React's `lazy`, which never forgets a failure. */
const loaded = new Map<string, Module>()

function load(page: string, importPage: () => Module): Module {
  const known = loaded.get(page)
  if (known) return known
  const coming = importPage()
  loaded.set(page, coming)
  return coming
}

const PAGES = [
  ['overview', 'Overview'],
  ['alerts', 'Alerts'],
  ['health', 'Sync health'],
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
  toolsAlone: { marginLeft: 'auto' },
  main: {
    maxWidth: '1440px',
    margin: '0 auto',
    padding: '24px',
    outlineStyle: 'none',
    '@media (max-width: 600px)': { padding: '16px 12px' },
  },
  // Where there is no room beside the badge, it has a line of its own.
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

interface Props {
  scout: Scout
  config: Config
  dark: boolean
  toggleTheme: () => void
  userMenu: ReactNode
}

/** The signed-in page: header, navigation, and the page that the address says. */
export function Shell({ scout, config, ...props }: Props) {
  const live = useMemo(() => new Live(scout, config), [scout, config])
  useEffect(() => live.start(), [live])
  const context = useMemo(
    () => ({ scout, live, config, formats: formats(navigator.languages, config.currency) }),
    [scout, live, config],
  )
  return (
    <ScoutReact value={context}>
      <Frame {...props} />
    </ScoutReact>
  )
}

function Frame({ dark, toggleTheme, userMenu }: Omit<Props, 'scout' | 'config'>) {
  const styles = useStyles()
  const route = useRoute()
  const { data } = useFreshness()
  // When the mirror was last compared with Odoo.
  const checked =
    data?.state === 'seen' && data.rows[0]?.checked_at ? new Date(data.rows[0].checked_at) : null
  useArrival(`${route.page}/${route.code ?? ''}`)
  const theme = `Switch to the ${dark ? 'light' : 'dark'} theme`
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
          <a href={href('overview')} className={styles.brand} aria-label="Scout, to the overview">
            <Logo />
            <Subtitle1>Scout</Subtitle1>
          </a>
          <nav className={styles.nav} aria-label="Pages">
            {PAGES.map(([page, title]) => {
              const current = route.page === page
              return (
                <a
                  key={page}
                  href={href(page)}
                  aria-current={current ? 'page' : undefined}
                  className={mergeClasses(styles.link, current && styles.current)}
                >
                  {title}
                </a>
              )
            })}
          </nav>
          {data && <Synced freshness={data} />}
          <div className={mergeClasses(styles.tools, !data && styles.toolsAlone)}>
            <LiveBadge />
            <Tooltip content={theme} relationship="label">
              <Button
                appearance="subtle"
                icon={dark ? <WeatherSunnyRegular /> : <WeatherMoonRegular />}
                onClick={toggleTheme}
              />
            </Tooltip>
            {userMenu}
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1} className={styles.main}>
        {checked && <Staleness checked={checked} />}
        {/* Another page is another try. */}
        <PageBoundary
          key={`${route.page}/${route.code ?? ''}`}
          onRetry={() => loaded.delete(route.page)}
        >
          <Suspense fallback={<Spinner label="Loading" style={{ paddingTop: '20vh' }} />}>
            <CurrentPage route={route} />
          </Suspense>
        </PageBoundary>
      </main>
    </>
  )
}

function CurrentPage({ route }: { route: Route }) {
  const title =
    route.page === 'metric'
      ? (route.code ?? 'Metric')
      : (PAGES.find(([page]) => page === route.page)?.[1] ?? 'Scout')
  useEffect(() => {
    document.title = `${title} · Scout`
  }, [title])
  const importPage = Object.hasOwn(LATER, route.page) ? LATER[route.page] : undefined
  if (!importPage) return <Overview query={route.query} />
  return createElement(use(load(route.page, importPage)).default, {
    code: route.code ?? '',
    query: route.query,
  })
}

/** Begins another page at its top, where the keyboard and screen readers go on too. The first page is where the browser puts it. */
function useArrival(place: string): void {
  const before = useRef(place)
  useEffect(() => {
    if (before.current === place) return
    before.current = place
    window.scrollTo(0, 0)
    document.getElementById('main')?.focus({ preventScroll: true })
  }, [place])
}

/** How old the numbers are, or that nobody can tell. */
function Synced({ freshness }: { freshness: Seen<SampleDelta> }) {
  const styles = useStyles()
  const { formats } = useScout()
  const now = useNow()
  const checked = freshness.state === 'seen' ? freshness.rows[0]?.checked_at : undefined
  const text = checked
    ? `Synced ${formats.ago(new Date(checked), now)}`
    : checked === null
      ? 'Never compared with Odoo'
      : 'Age not known'
  return <Text className={styles.synced}>{text}</Text>
}

/** A warning where the numbers are old. */
function Staleness({ checked }: { checked: Date }) {
  const styles = useStyles()
  const { config, formats } = useScout()
  const now = useNow()
  if (now.getTime() - checked.getTime() < config.staleMinutes * 60_000) return null
  return (
    <MessageBar intent="warning" layout="multiline" className={styles.stale}>
      <MessageBarBody>
        <MessageBarTitle>The numbers may be behind</MessageBarTitle>
        Odoo was last asked {formats.ago(checked, now)}.{' '}
        <a href={href('health')}>See the state of the sync</a>
      </MessageBarBody>
    </MessageBar>
  )
}
