public import Configuration

extension EventBusConfiguration {
    /// Creates a configuration from a configuration reader.
    ///
    /// | key | type | meaning | default |
    /// |---|---|---|---|
    /// | `source` | string | the service's name, which its events carry | none |
    /// | `publishTimeout` | double, seconds | see ``publishTimeout`` | 10 |
    /// | `shutdownTimeout` | double, seconds | see ``shutdownTimeout`` | 30 |
    /// | `cancellationGrace` | double, seconds | see ``cancellationGrace`` | 1 |
    ///
    /// Scope the reader to prefix the keys: `config.scoped(to: "eventBus")`.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidConfiguration`, which names the key.
    public init(config: ConfigReader) throws {
        self.init()
        source = config.string(forKey: "source")
        try config.read("publishTimeout", into: &publishTimeout, allowingZero: false)
        try config.read("shutdownTimeout", into: &shutdownTimeout, allowingZero: true)
        try config.read("cancellationGrace", into: &cancellationGrace, allowingZero: true)
    }
}

extension ConfigReader {
    /// Reads a duration in seconds. Leaves `value` unchanged if the key is missing.
    package func read(_ key: String, into value: inout Duration, allowingZero: Bool) throws(EventBusError) {
        // A provider returns a value only as the type in which it stores it, except for text, which it parses.
        let number = double(forKey: ConfigKey(key)).map { "\($0)" } ?? int(forKey: ConfigKey(key)).map { "\($0)" }
        guard let text = string(forKey: ConfigKey(key)) ?? number else { return }
        guard let seconds = Double(text), seconds.isFinite, seconds > 0 || (allowingZero && seconds == 0), seconds < 1e9
        else {
            throw EventBusError(
                .invalidConfiguration,
                "\(key) is \(text.quotedForError); give a number of seconds\(allowingZero ? ", 0 or more" : " above 0")"
            )
        }
        value = .nanoseconds(Int64(seconds * 1e9))
    }
}
