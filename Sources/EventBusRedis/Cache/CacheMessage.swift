/// A message from one process to the others.
struct CacheMessage {
    enum News: Equatable {
        /// A computation for a key has ended without a value.
        case ended(key: String)
        /// Computations for a key that began before are invalid.
        case void(key: String)
        /// Computations with a tag that began before are invalid.
        case voidTag(String)
    }

    let process: String
    let news: News

    init?(_ payload: RedisValue) {
        guard let parts = payload.text?.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false),
            parts.count == 3
        else { return nil }
        process = String(parts[0])
        let name = String(parts[2])
        switch parts[1] {
        case "void": news = .void(key: name)
        case "void-tag": news = .voidTag(name)
        default: news = .ended(key: name)
        }
    }
}
