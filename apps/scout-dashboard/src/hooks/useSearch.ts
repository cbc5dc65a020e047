import { useEffect, useEffectEvent, useState } from 'react'

/** Milliseconds without a keystroke before the search starts. */
const PAUSE_MS = 300

/**
 * The text of a search field, and its setter. `search` is called when the user stops typing.
 *
 * wanted: the text that is searched for. It may also change elsewhere, as in the address.
 */
export function useSearch(
  wanted: string,
  search: (text: string) => void,
): [string, (text: string) => void] {
  const [typed, setTyped] = useState(wanted)
  const [known, setKnown] = useState(wanted)
  if (wanted !== known) {
    setKnown(wanted)
    // A space at the end begins the next word: keep it.
    if (wanted !== typed.trim()) setTyped(wanted)
  }
  const onPause = useEffectEvent(() => {
    if (typed.trim() !== wanted) search(typed.trim())
  })
  useEffect(() => {
    const timer = setTimeout(onPause, PAUSE_MS)
    return () => clearTimeout(timer)
  }, [typed])
  return [typed, setTyped]
}
