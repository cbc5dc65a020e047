import {
  Button,
  Card,
  Field,
  Input,
  makeStyles,
  MessageBar,
  MessageBarBody,
  Title2,
  tokens,
} from '@fluentui/react-components'
import { useState, type SyntheticEvent } from 'react'

import type { Scout } from '../lib/supabase'
import { Logo } from './Logo'

const useStyles = makeStyles({
  page: { display: 'flex', justifyContent: 'center', padding: '14vh 16px 48px' },
  card: { width: '100%', maxWidth: '400px', padding: '32px', rowGap: '20px' },
  head: { display: 'flex', alignItems: 'center', columnGap: '12px' },
  form: { display: 'flex', flexDirection: 'column', rowGap: '16px' },
  hint: { color: tokens.colorNeutralForeground3, margin: 0 },
})

export function SignIn({ scout }: { scout: Scout }) {
  const styles = useStyles()
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)

  const signIn = async (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const field = (name: string) => {
      const value = form.get(name)
      return typeof value === 'string' ? value : ''
    }
    setBusy(true)
    setProblem('')
    const { error } = await scout.auth.signInWithPassword({
      email: field('email'),
      password: field('password'),
    })
    setBusy(false)
    if (!error) return
    const wrong =
      error.code === 'invalid_credentials' || error.message === 'Invalid login credentials'
    setProblem(wrong ? 'The email or the password is wrong.' : error.message)
  }

  return (
    <main className={styles.page}>
      <Card className={styles.card}>
        <div className={styles.head}>
          <Logo size={36} />
          <Title2 as="h1">Scout</Title2>
        </div>
        <p className={styles.hint}>Sign in to see the metrics of your stores.</p>
        <form className={styles.form} onSubmit={(event) => void signIn(event)}>
          <Field label="Email" required>
            <Input name="email" type="email" autoComplete="username" />
          </Field>
          <Field label="Password" required>
            <Input name="password" type="password" autoComplete="current-password" />
          </Field>
          {problem && (
            <MessageBar intent="error" layout="multiline">
              <MessageBarBody>{problem}</MessageBarBody>
            </MessageBar>
          )}
          <Button type="submit" appearance="primary" disabledFocusable={busy}>
            {busy ? 'Signing in …' : 'Sign in'}
          </Button>
        </form>
      </Card>
    </main>
  )
}
