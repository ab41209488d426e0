import Foundation
import Testing

/// A JSON object read by Foundation.
struct JSONObject {
    let members: [String: Any]

    init(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        members = try #require(value as? [String: Any], "not an object: \(text)", sourceLocation: sourceLocation)
    }

    subscript(_ key: String) -> String? { members[key] as? String }

    func int(_ key: String) -> Int? { members[key] as? Int }
    func object(_ key: String) -> [String: Any]? { members[key] as? [String: Any] }
    func array(_ key: String) -> [[String: Any]]? { members[key] as? [[String: Any]] }
}
