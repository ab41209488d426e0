/// A check of the spelling of the keys in one call of a cache.
package enum CacheKeySpelling {
    /// Checks that the values of a call can be distinguished.
    ///
    /// Keys are compared byte by byte, but the values are returned in a Swift dictionary, which keeps only one of two
    /// keys that differ only in Unicode normalization.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidName`, which names such a key.
    package static func checkDistinct(_ keys: [String]) throws(EventBusError) {
        if keys.count < 2 { return }
        var firstSpelling: [String: ExactString] = [:]
        for key in keys {
            let exact = ExactText(key)
            guard let first = firstSpelling.updateValue(exact, forKey: key), first != exact else { continue }
            throw EventBusError(
                .invalidName,
                "two keys of one call read \(key.quotedForError) and differ in their Unicode normalization only: "
                    + "ask for them in two calls"
            )
        }
    }
}
