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
import { useTheme } from './hooks/useTheme'
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
  const { theme, dark, toggle } = useTheme()
  return (
    <FluentProvider theme={theme}>
      {/* Not the provider's own class: menus and tooltips, which lie over the page, have that too. */}
      <div className={styles.app}>
        <Boundary>
          <Suspense>
            <Gate config={config} dark={dark} toggleTheme={toggle} />
          </Suspense>
        </Boundary>
      </div>
    </FluentProvider>
  )
}

export interface GateProps {
  config: Config
  dark: boolean
  toggleTheme: () => void
}

function Gate({ config, ...props }: Omit<GateProps, 'config'> & { config: Promise<Config> }) {
  const settled = use(config)
  return settled.demoUsers.length > 0 ? (
    <DemoGate config={settled} {...props} />
  ) : (
    <AuthGate config={settled} {...props} />
  )
}

/** What cannot be mended by trying again, such as a wrong configuration: said, and not a blank page. */
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
