// Messages beside Uppy's own, which go away before one has read them.

const MOST_SHOWN = 5

/** Problems that stay until they are dismissed, one line for each file. */
export class Problems {
  #section = document.getElementById('problems')
  #list = this.#section.querySelector('ul')
  #lines = new Map()

  constructor() {
    this.#section.querySelector('button').addEventListener('click', () => this.clear())
  }

  add(key, name, sentence) {
    this.#lines.delete(key)
    this.#lines.set(key, [name, sentence])
    this.#show()
  }

  remove(key) {
    if (this.#lines.delete(key)) this.#show()
  }

  clear() {
    this.#lines.clear()
    this.#show()
  }

  #show() {
    const all = [...this.#lines.values()]
    const shown = all.slice(0, MOST_SHOWN).map(([name, sentence]) => {
      const file = document.createElement('strong')
      file.textContent = name
      return item(file, ` ${sentence}`)
    })
    if (all.length > MOST_SHOWN) shown.push(item(`${all.length - MOST_SHOWN} more files had problems.`))
    this.#list.replaceChildren(...shown)
    this.#section.hidden = all.length === 0
  }
}

/** What uploads wait for; the sentence of the one that began to wait last is shown. */
export class Waiting {
  #element = document.getElementById('state')
  #files = new Map()

  get any() {
    return this.#files.size > 0
  }

  add(fileID, sentence) {
    this.#files.delete(fileID)
    this.#files.set(fileID, sentence)
    this.#show()
  }

  remove(fileID) {
    if (this.#files.delete(fileID)) this.#show()
  }

  clear() {
    this.#files.clear()
    this.#show()
  }

  #show() {
    const sentence = [...this.#files.values()].at(-1) ?? ''
    // Said again, it would be read out again.
    if (this.#element.textContent !== sentence) this.#element.textContent = sentence
  }
}

function item(...parts) {
  const line = document.createElement('li')
  line.append(...parts)
  return line
}
