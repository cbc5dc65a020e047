import {
  FluentProvider,
  makeStyles,
  MessageBar,
  MessageBarBody,
  MessageBarTitle,
  tokens,
} from '@fluentui/react-components'
import { Component, Suspense, use, type ReactNode } from 'react'

import { AuthGate } from './components/AuthGate'
import { DemoGate } from './components/DemoGate'
import { useTheme, type ThemeSwitch } from './hooks/useTheme'
import type { Config } from './lib/config'

const useStyles = makeStyles({
  app: {
    minHeight: '100vh',
    backgroundColor: tokens.colorNeutralBackground2,
    color: tokens.colorNeutralForeground1,
  },
  broken: { maxWidth: '640px', margin: '0 auto', padding: '48px 16px' },
})

export function App({ config }: { config: Promise<Config> }) {
  const styles = useStyles()
  const { theme, ...themeSwitch } = useTheme()
  return (
    <FluentProvider theme={theme}>
      {/* Not the provider's class: menus and tooltips, which lie over the page, have it too. */}
      <div className={styles.app}>
        <Boundary>
          <Suspense>
            <Gate config={config} theme={themeSwitch} />
          </Suspense>
        </Boundary>
      </div>
    </FluentProvider>
  )
}

function Gate({ config, theme }: { config: Promise<Config>; theme: ThemeSwitch }) {
  const loaded = use(config)
  const Chosen = loaded.demoUsers.length > 0 ? DemoGate : AuthGate
  return <Chosen config={loaded} theme={theme} />
}

/** Shows an error that a retry cannot repair, such as a wrong configuration. */
class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null }

  static getDerivedStateFromError(error: unknown) {
    return { error }
  }

  override render() {
    return this.state.error === null ? this.props.children : <Broken error={this.state.error} />
  }
}

function Broken({ error }: { error: unknown }) {
  const styles = useStyles()
  return (
    <main className={styles.broken}>
      <MessageBar intent="error" layout="multiline">
        <MessageBarBody>
          <MessageBarTitle>The dashboard cannot start</MessageBarTitle>
          {error instanceof Error ? error.message : String(error)}
        </MessageBarBody>
      </MessageBar>
    </main>
  )
}
