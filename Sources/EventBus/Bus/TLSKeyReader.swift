package import Configuration

/// A reader of the configuration keys under `tls`, which are an error if the connection is not encrypted.
package struct TLSKeyReader {
    private let config: ConfigReader
    /// The first key that was given.
    private var given: String?

    package init(_ config: ConfigReader) {
        self.config = config
    }

    /// Reads a text. Leaves `value` unchanged if the key is missing.
    package mutating func read(_ key: String, isSecret: Bool = false, into value: inout String?) {
        guard let text = config.string(forKey: ConfigKey(name(key)), isSecret: isSecret) else { return }
        given = given ?? name(key)
        value = text
    }

    /// Reads a text. Leaves `value` unchanged if the key is missing.
    package mutating func read(_ key: String, into value: inout String) {
        var text: String?
        read(key, into: &text)
        if let text { value = text }
    }

    /// Reads a flag. Leaves `value` unchanged if the key is missing.
    package mutating func read(_ key: String, into value: inout Bool) {
        guard let flag = config.bool(forKey: ConfigKey(name(key))) else { return }
        given = given ?? name(key)
        value = flag
    }

    /// Throws if a key was given, although the URI has another scheme than `scheme`.
    package func check(isEncrypted: Bool, scheme: String) throws(EventBusError) {
        guard let given, !isEncrypted else { return }
        throw EventBusError(.invalidConfiguration, "\(given) is given, but the URI is not \(scheme)://")
    }

    private func name(_ key: String) -> String { "tls.\(key)" }
}
