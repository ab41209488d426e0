public import Hummingbird

/// Returns the invalid references in an OpenAPI document.
public func danglingReferences(in document: [String: Any]) -> [String] {
    var dangling: [String] = []
    func check(_ value: Any) {
        if let array = value as? [Any] { array.forEach(check) }
        guard let object = value as? [String: Any] else { return }
        object.values.forEach(check)
        guard let reference = object["$ref"] as? String else { return }
        let target = reference.split(separator: "/").dropFirst().reduce(document as Any?) {
            ($0 as? [String: Any])?[String($1)]
        }
        if !reference.hasPrefix("#/") || target == nil { dangling.append(reference) }
    }
    check(document)
    return dangling
}

extension Router {
    /// The routes in the format of an OpenAPI document, such as `GET /orders/{id}`.
    public var operations: [String] {
        routes.map { route in
            let parts = route.path.description.split(separator: "/").map { part in
                part.hasPrefix(":") ? "{\(part.dropFirst())}" : String(part)
            }
            return "\(route.method) /\(parts.joined(separator: "/"))"
        }
    }
}
