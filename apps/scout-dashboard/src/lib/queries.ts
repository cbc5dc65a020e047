import { QueryClient } from '@tanstack/react-query'

/** A cache for the answers of one user. */
export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // `useLiveQuery` retries by its interval, so that an error is shown at once.
        retry: false,
        // Browsers sometimes report a connected page as offline, so queries run in any case.
        networkMode: 'always',
        refetchOnReconnect: true,
      },
      mutations: { networkMode: 'always' },
    },
  })
}
