import Configuration
import Logging

/// The configuration of a process: its values, their origins, and the secrets among them.
struct ServiceConfiguration: Sendable {
    /// The reader of flags, then the environment, then the file, then defaults.
    let reader: ConfigReader
    /// The secret values, which must never be shown.
    let secrets: [String]
    /// The keys in the file that match no setting.
    let unknownKeys: [String]

    private struct Source {
        let provider: any ConfigProvider
        /// A function that names the place where a person finds a value.
        let name: @Sendable (Setting) -> String
    }

    /// Reads and validates everything.
    ///
    /// - Throws: ``UsageError`` for an invalid file, and for a value of the wrong type.
    init(flags: CommandLineFlags, environment: [String: String], settings: [Setting]) async throws(UsageError) {
        let secretNames = Set(settings.filter(\.isSecret).map(\.environmentVariable))
        func variables(_ values: [String: String]) -> EnvironmentVariablesProvider {
            EnvironmentVariablesProvider(
                environmentVariables: values,
                secretsSpecifier: .dynamic { key, _ in secretNames.contains(key) }
            )
        }
        var sources = [
            Source(provider: variables(flags.values)) { "the flag \($0.flag)" },
            Source(provider: variables(environment)) { "the environment variable \($0.environmentVariable)" },
        ]
        var unknownKeys: [String] = []
        let first = ConfigReader(providers: sources.map(\.provider))
        if let path = first.string(forKey: "config.file") {
            let provider = try await ConfigurationFile.provider(
                path: path,
                secretKeys: Set(settings.filter(\.isSecret).map(\.key))
            )
            sources.append(Source(provider: provider) { "\($0.key) in the file \(path)" })
            unknownKeys = ConfigurationFile.unknownKeys(path: path, known: Set(settings.map(\.key)))
        }
        for setting in settings {
            for source in sources { try Self.check(setting, in: source) }
        }
        var defaults: [String: String] = [:]
        for setting in settings where !setting.hasDocumentedDefault {
            defaults[setting.environmentVariable] = setting.defaultValue
        }
        let given = ConfigReader(providers: sources.map(\.provider))
        self.reader = ConfigReader(providers: sources.map(\.provider) + [variables(defaults)])
        self.secrets = settings.filter(\.isSecret).compactMap { setting in
            given.string(forKey: ConfigKey(setting.key), isSecret: true)
        }
        self.unknownKeys = unknownKeys
    }

    private static func check(_ setting: Setting, in source: Source) throws(UsageError) {
        let key = AbsoluteConfigKey(ConfigKey(setting.key))
        do {
            _ = try source.provider.value(forKey: key, type: setting.kind.configType)
        } catch {
            let value = try? source.provider.value(forKey: key, type: .string).value?.content
            var shown = ""
            if !setting.isSecret, case .string(let text)? = value { shown = " is \"\(text)\", which" }
            throw UsageError("\(source.name(setting))\(shown) has to be \(setting.kind.description)")
        }
    }
}

extension Setting.Kind {
    fileprivate var configType: ConfigType {
        switch self {
        case .string: .string
        case .int: .int
        case .double: .double
        case .bool: .bool
        case .strings: .stringArray
        }
    }

    /// A description of the valid values.
    fileprivate var description: String {
        switch self {
        case .string: "text"
        case .int: "a whole number"
        case .double: "a number"
        case .bool: "true or false"
        case .strings: "a list of texts"
        }
    }
}
