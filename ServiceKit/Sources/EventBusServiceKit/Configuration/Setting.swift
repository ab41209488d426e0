/// A key of a service's configuration, which `--help` prints and against which flags are checked.
///
/// A key such as `http.port` is set by the flag `--http-port`, by the environment variable `HTTP_PORT`, or by `{"http":
/// {"port": 8080}}` in the file that `config.file` names, in this order.
///
/// ```swift
/// Setting("mail.from", .string, default: "orders@shop.example", "the sender address of messages")
/// // in the assembly:
/// let from = environment.config.string(forKey: "mail.from", default: "")
/// ```
public struct Setting: Hashable, Sendable {
    /// The type of a value.
    public enum Kind: String, Hashable, Sendable {
        /// Any text.
        case string
        /// An integer.
        case int
        /// A number.
        case double
        /// `true` or `false`. A flag without a value means `true`.
        case bool
        /// Texts, which are separated by commas in a flag or in the environment, and an array in the file.
        case strings
    }

    /// The key, its parts separated by dots, such as `database.path`.
    public var key: String
    /// The type of the value.
    public var kind: Kind
    /// The default value, or `nil` if ``meaning`` describes it.
    public var defaultValue: String?
    /// A Boolean value indicating whether the value must never be shown. Defaults to `false`.
    public var isSecret: Bool
    /// The purpose on one line.
    public var meaning: String
    /// A Boolean value indicating whether ``defaultValue`` is only documented, and not returned by the configuration.
    var hasDocumentedDefault = false

    /// Creates a key.
    ///
    /// - Parameters:
    ///   - key: The key, with its parts separated by dots and in camel case, such as `http.port`.
    ///   - kind: The type of the value.
    ///   - default: The value that the configuration returns if the key is not set, or `nil` for none.
    ///   - isSecret: `true` if the value must never be shown in a log, an error or a description. Defaults to `false`.
    ///   - meaning: The purpose on one line.
    public init(_ key: String, _ kind: Kind, default: String?, isSecret: Bool = false, _ meaning: String) {
        self.key = key
        self.kind = kind
        self.defaultValue = `default`
        self.isSecret = isSecret
        self.meaning = meaning
    }

    /// The environment variable that sets it, in upper case with an underscore between words and parts.
    public var environmentVariable: String {
        var name = ""
        var previous: Character = "."
        for character in key {
            if character.isUppercase && previous.isLowercase { name.append("_") }
            name += character.isLetter || character.isNumber ? character.uppercased() : "_"
            previous = character
        }
        return name
    }

    /// The flag that sets it, such as `--http-port`.
    public var flag: String {
        "--" + environmentVariable.lowercased().map { $0 == "_" ? "-" : String($0) }.joined()
    }
}
