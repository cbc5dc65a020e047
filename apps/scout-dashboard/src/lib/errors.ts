/** An error in words for the user. */
export interface Problem {
  title: string
  advice: string
  /** The message of the database or the browser, for the administrator. */
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

/** A request that was answered with an error. */
export class RequestFailed extends Error {
  readonly problem: Problem

  constructor(error: ApiError, status: number) {
    super(error.message)
    this.problem = explain(error, status)
  }
}

const EXPIRED = new Set(['PGRST301', 'PGRST302', 'PGRST303'])
const MISSING = new Set(['42P01', '42883', 'PGRST202', 'PGRST205'])

/** Words for an error. status: the HTTP status; 0 if there was no answer. */
export function explain(error: ApiError, status: number): Problem {
  // Errors that `fetch` throws have a number.
  const code = String(error.code ?? '')
  return {
    ...wording(code, status, error.message),
    detail: [code, error.message, error.hint].filter(Boolean).join(': '),
    code: code || String(status),
  }
}

function wording(code: string, status: number, message: string): Pick<Problem, 'title' | 'advice'> {
  if (EXPIRED.has(code) || (status === 401 && code !== '42501')) {
    return { title: 'Your session has expired', advice: 'Sign in again.' }
  }
  if (code === '42501')
    return { title: 'Access denied', advice: 'Ask your administrator for access, then try again.' }
  if (code === 'PGRST106') {
    return {
      title: 'The API does not expose the data',
      advice: 'Your administrator must add the schema “ipai” to the exposed schemas of the API.',
    }
  }
  if (MISSING.has(code))
    return {
      title: 'The database is not ready for this page',
      advice: 'Your administrator must apply the migrations of ipai_sync.',
    }
  // The time limit of the client or of the database.
  if (code === '57014' || message.startsWith('TimeoutError'))
    return {
      title: 'The request timed out',
      advice: 'Choose a shorter period or a filter, then try again.',
    }
  if (status === 0)
    return {
      title: 'The server cannot be reached',
      advice: 'Check your connection. The page retries automatically.',
    }
  if (status >= 500)
    return { title: 'The server reported an error', advice: 'The page retries automatically.' }
  return {
    title: 'The request failed',
    advice: 'Try again. If the error persists, show the details below to your administrator.',
  }
}

/** Words for any thrown value. */
export function problemOf(error: unknown): Problem {
  if (error instanceof RequestFailed) return error.problem
  return explain({ message: error instanceof Error ? error.message : String(error) }, -1)
}

/** The data of an answer of supabase-js. Throws RequestFailed if it has an error. */
export function unwrap<T>(
  answer: { data: T; error: null } | { data: unknown; error: ApiError; status: number },
): T {
  if (answer.error) throw new RequestFailed(answer.error, answer.status)
  return answer.data
}
