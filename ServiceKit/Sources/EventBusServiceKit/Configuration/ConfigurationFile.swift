import Configuration
import FoundationEssentials
import SystemPackage

/// The JSON file with additional configuration.
enum ConfigurationFile {
    /// Reads the file.
    ///
    /// - Throws: ``UsageError`` if it is missing, or not a JSON object.
    static func provider(path: String, secretKeys: Set<String>) async throws(UsageError) -> any ConfigProvider {
        do {
            return try await FileProvider<JSONSnapshot>(
                parsingOptions: JSONSnapshot.ParsingOptions(
                    secretsSpecifier: .dynamic { key, _ in secretKeys.contains(key) }
                ),
                filePath: FilePath(path),
                allowMissing: false
            )
        } catch {
            throw UsageError("the configuration file \(path) cannot be used: \(reason(error, path: path))")
        }
    }

    /// Returns the keys in the file that match no setting and are probably misspelled.
    static func unknownKeys(path: String, known: Set<String>) -> [String] {
        guard let data = try? Data(contentsOf: URL(filePath: path)),
            let root = try? JSONDecoder().decode(KeyTree.self, from: data)
        else { return [] }
        return root.leaves(under: "").filter { !known.contains($0) }.sorted()
    }

    private static func reason(_ error: any Error, path: String) -> String {
        guard FileManager.default.fileExists(atPath: path) else { return "there is no such file" }
        guard let data = try? Data(contentsOf: URL(filePath: path)) else { return "it cannot be read" }
        do {
            _ = try JSONDecoder().decode(KeyTree.self, from: data)
        } catch DecodingError.dataCorrupted(let context) {
            return "it is not JSON (\(context.underlyingError.map { "\($0)" } ?? context.debugDescription))"
        } catch {
            return "it is not an object of JSON"
        }
        return "\(error)"
    }
}

/// The keys of nested objects.
private struct KeyTree: Decodable {
    private var children: [String: KeyTree?] = [:]

    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for key in container.allKeys {
            children[key.stringValue] = .some(try? container.decode(KeyTree.self, forKey: key))
        }
    }

    func leaves(under prefix: String) -> [String] {
        children.flatMap { key, child in
            child?.leaves(under: prefix + key + ".") ?? [prefix + key]
        }
    }
}
