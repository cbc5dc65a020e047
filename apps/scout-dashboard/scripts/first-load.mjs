// Adds up what a browser loads before it shows the first page: index.html, and the entry module
// with its static imports. Exits with 1 above the limit.
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const LIMIT = 350_000
const dist = new URL('../dist/', import.meta.url)
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist)))
const files = new Set(['index.html'])

const add = (name) => {
  const { file, css = [], imports = [] } = manifest[name]
  if (files.has(file)) return
  for (const part of [file, ...css]) files.add(part)
  imports.forEach(add)
}
add('index.html')

let total = 0
for (const file of files) total += gzipSync(readFileSync(new URL(file, dist))).length
console.log(
  `First load: ${(total / 1000).toFixed(1)} kB gzipped of at most ${LIMIT / 1000} kB (${files.size} files)`,
)
if (total > LIMIT) process.exit(1)
