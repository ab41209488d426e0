/// What a mailbox is kept in: a file, in tests one that fails at times. Nobody else writes it meanwhile.
protocol MailStorage: AnyObject {
    /// Reads the whole of it piece by piece.
    func read(_ body: (ArraySlice<UInt8>) throws(MailFileError) -> Void) throws(MailFileError)

    /// Writes behind what is there. Where that fails, some of it may have been written.
    func append(_ bytes: [UInt8]) throws(MailFileError)

    /// Cuts off what is behind `length`.
    func cut(to length: Int) throws(MailFileError)

    /// Returns when what was written is on the disk. Where that fails, nobody knows what of it is.
    func synchronize() throws(MailFileError)

    /// Returns when it is on the disk that there is such a file.
    func synchronizeFolder() throws(MailFileError)
}
