/** What went wrong, for a person. */
export interface Problem {
  title: string
  advice: string
  /** What the database or the browser said, for whoever mends it. */
  detail: string
  code: string
}

/** An error of supabase-js, as its answers hold it. */
export interface ApiError {
  message: string
  code?: string | number
  details?: string | null
  hint?: string | null
}

/** Thrown by what reads, so that hooks need one way for all errors. */
export class RequestFailed extends Error {
  readonly problem: Problem

  constructor(error: ApiError, status: number) {
    super(error.message)
    this.problem = explain(error, status)
  }
}

const EXPIRED = new Set(['PGRST301', 'PGRST302', 'PGRST303'])
const MISSING = new Set(['42P01', '42883', 'PGRST202', 'PGRST205'])

/** An error in words. `status` is that of the answer; 0: there was none. */
export function explain(error: ApiError, status: number): Problem {
  // What fetch throws has a number.
  const code = String(error.code ?? '')
  return {
    ...wording(code, status, error.message),
    detail: [code, error.message, error.hint].filter(Boolean).join(': '),
    code: code || String(status),
  }
}

function wording(code: string, status: number, message: string): Pick<Problem, 'title' | 'advice'> {
  if (EXPIRED.has(code) || (status === 401 && code !== '42501')) {
    return {
      title: 'You are no longer signed in',
      advice: 'Your sign-in has expired. Sign in again to go on.',
    }
  }
  if (code === '42501')
    return {
      title: 'You may not see this',
      advice: 'Ask your administrator for access, then try again.',
    }
  if (code === 'PGRST106') {
    return {
      title: 'The data is not published',
      advice: 'Your administrator must add the schema “ipai” to the exposed schemas of the API.',
    }
  }
  if (MISSING.has(code))
    return {
      title: 'The database is not ready for this page',
      advice: 'Your administrator must apply the migrations of ipai_sync.',
    }
  // What the client gave up waiting for, or the database.
  if (code === '57014' || message.startsWith('TimeoutError'))
    return {
      title: 'This took too long',
      advice: 'Choose a shorter period or a filter, then try again.',
    }
  if (status === 0)
    return {
      title: 'The server cannot be reached',
      advice: 'Check your connection. The page tries again by itself.',
    }
  if (status >= 500)
    return {
      title: 'The server has a problem',
      advice: 'It is not your doing. The page tries again by itself.',
    }
  return {
    title: 'Something went wrong',
    advice: 'Try again. If it stays, show the details below to your administrator.',
  }
}

/** Any thrown thing, in words. */
export function problemOf(error: unknown): Problem {
  if (error instanceof RequestFailed) return error.problem
  return explain({ message: error instanceof Error ? error.message : String(error) }, -1)
}

/** The data of an answer of supabase-js; RequestFailed where it has an error. */
export function unwrap<T>(
  answer: { data: T; error: null } | { data: unknown; error: ApiError; status: number },
): T {
  if (answer.error) throw new RequestFailed(answer.error, answer.status)
  return answer.data
}
