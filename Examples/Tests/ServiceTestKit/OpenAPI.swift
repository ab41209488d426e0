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

/// Returns the operations in an OpenAPI document that require no token, such as `GET /metrics`.
public func openOperations(in document: [String: Any]) -> Set<String> {
    let components = document["components"] as? [String: Any]
    let schemes = components?["securitySchemes"] as? [String: [String: String]] ?? [:]
    func isRestricted(_ object: [String: Any]) -> Bool? {
        guard let requirements = object["security"] as? [[String: Any]] else { return nil }
        return !requirements.isEmpty
            && requirements.allSatisfy { requirement in requirement.keys.contains { schemes[$0]?["type"] == "http" } }
    }
    let paths = document["paths"] as? [String: [String: Any]] ?? [:]
    let open = paths.flatMap { path, methods in
        methods.compactMap { method, operation -> String? in
            guard method != "parameters", let operation = operation as? [String: Any] else { return nil }
            let isRestricted = isRestricted(operation) ?? isRestricted(document) ?? false
            return isRestricted ? nil : "\(method.uppercased()) \(path)"
        }
    }
    return Set(open)
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
