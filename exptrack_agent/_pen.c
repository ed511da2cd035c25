/* The compiled hot path: a row of plain numbers from a dict to the black box in one call.
 *
 * `Pen` holds what an append needs (where to write, how far, the counters) and does the plain case of
 * `rows.RowLog.log`: a dict with names that were seen before, whose values are floats, ints and bools. It writes
 * the very bytes that msgpack would. Everything else it leaves to the Python code, untouched: it calls
 * `self._log_slowly(data, step)` and has changed nothing before.
 *
 * No Python code runs in here and the interpreter's lock is held throughout, so an append is one step for all
 * threads and signal handlers. The bytes are stored first; the head is published after them by one release
 * store, so that a kill at any instruction leaves whole rows only.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define MOST_SHAPES 64
#define MOST_SHAPE_BYTES (8 << 20) /* of all shapes together */
#define MOST_SCALARS 10000
#define MOST_KINDS 16
#define NUMBER_BYTES 9       /* a type byte and 64 bits: the longest number */
#define HEAD_BYTES (1 + 9 + 9 + 3) /* array of three, step, time, a map of up to 65,535 */

/* Rows of the same names in the same order. */
typedef struct {
    Py_ssize_t names_n;
    PyObject **names;        /* strong; compared by address first */
    uint32_t *key_sizes;
    uint8_t *keys;           /* the names, packed, one after another */
    Py_ssize_t most_bytes;   /* of a row */
    uint8_t *row;            /* the last row, for `last_values` */
    Py_ssize_t row_bytes;
} Shape;

typedef struct {
    PyObject_HEAD
    uint8_t *memory;
    uint64_t *head_cell;
    uint64_t head_copies;    /* a head times this is what its cell holds */
    Py_ssize_t head, limit, most_row_bytes, most_name_chars;
    long long sequence, next_step;
    Py_ssize_t shape_bytes;
    char wants_shape;        /* the last call left for Python had names that are not known */
    int shapes_n;
    Shape *shapes[MOST_SHAPES]; /* the last used first */
    PyObject *scalars;       /* packed name by name, for `log_scalar` */
    int kinds_n;
    PyTypeObject *kinds[MOST_KINDS]; /* NumPy's scalars, as Python met them: one number in a buffer */
} Pen;

static PyObject *slowly; /* "_log_slowly" */

/* --- msgpack ---------------------------------------------------------------------------------- */

static inline uint8_t *put_be(uint8_t *at, uint64_t number, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) *at++ = (uint8_t)(number >> shift);
    return at;
}

static inline uint8_t *put_u64(uint8_t *at, uint64_t number) {
    uint64_t swapped = __builtin_bswap64(number);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    swapped = number;
#endif
    memcpy(at, &swapped, 8);
    return at + 8;
}

static inline uint8_t *put_double(uint8_t *at, double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    *at++ = 0xcb;
    return put_u64(at, bits);
}

/* The shortest form, as msgpack's own packer writes it. */
static uint8_t *put_int(uint8_t *at, long long number) {
    if (number >= 0) {
        if (number < 0x80) { *at++ = (uint8_t)number; return at; }
        if (number <= 0xff) { *at++ = 0xcc; return put_be(at, number, 1); }
        if (number <= 0xffff) { *at++ = 0xcd; return put_be(at, number, 2); }
        if (number <= 0xffffffffLL) { *at++ = 0xce; return put_be(at, number, 4); }
        *at++ = 0xcf;
        return put_be(at, number, 8);
    }
    if (number >= -0x20) { *at++ = (uint8_t)number; return at; }
    if (number >= -0x80) { *at++ = 0xd0; return put_be(at, (uint64_t)number, 1); }
    if (number >= -0x8000) { *at++ = 0xd1; return put_be(at, (uint64_t)number, 2); }
    if (number >= -0x80000000LL) { *at++ = 0xd2; return put_be(at, (uint64_t)number, 4); }
    *at++ = 0xd3;
    return put_be(at, (uint64_t)number, 8);
}

/* A number by its format in Python's `struct`; NULL: it is none of these. */
static uint8_t *put_formatted(uint8_t *at, char format, const void *number) {
#define AS(type) (*(const type *)number)
    switch (format) {
    case 'f': return put_double(at, AS(float));
    case 'd': return put_double(at, AS(double));
    case 'e': return put_double(at, PyFloat_Unpack2(number, PY_LITTLE_ENDIAN));
    case '?': *at++ = AS(char) ? 0xc3 : 0xc2; return at;
    case 'b': return put_int(at, AS(signed char));
    case 'B': return put_int(at, AS(unsigned char));
    case 'h': return put_int(at, AS(short));
    case 'H': return put_int(at, AS(unsigned short));
    case 'i': return put_int(at, AS(int));
    case 'I': return put_int(at, AS(unsigned int));
    case 'l': return put_int(at, AS(long));
    case 'q': return put_int(at, AS(long long));
    default: return NULL;
    }
#undef AS
}

static uint8_t *put_known(const Pen *self, uint8_t *at, PyObject *value) {
    Py_buffer view;
    int i = 0;
    while (i < self->kinds_n && self->kinds[i] != Py_TYPE(value)) i++;
    if (i == self->kinds_n) return NULL;
    if (PyObject_GetBuffer(value, &view, PyBUF_FORMAT) < 0) {
        PyErr_Clear();
        return NULL;
    }
    int is_one = view.format != NULL && view.format[0] && !view.format[1] && view.len == view.itemsize;
    at = is_one ? put_formatted(at, view.format[0], view.buf) : NULL;
    PyBuffer_Release(&view);
    return at;
}

/* NULL: no number that can be written here. */
static inline uint8_t *put_number(const Pen *self, uint8_t *at, PyObject *value) {
    if (PyFloat_CheckExact(value)) return put_double(at, PyFloat_AS_DOUBLE(value));
    if (value == Py_True) { *at++ = 0xc3; return at; }
    if (value == Py_False) { *at++ = 0xc2; return at; }
    if (PyLong_CheckExact(value)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        return overflow ? NULL : put_int(at, number);
    }
    if (PyFloat_Check(value)) return put_double(at, PyFloat_AS_DOUBLE(value)); /* numpy.float64 */
    return put_known(self, at, value);
}

static inline uint8_t *put_begin(uint8_t *at, long long step, uint64_t time_ns) {
    *at++ = 0x93;
    at = put_int(at, step);
    *at++ = 0xcf;
    return put_u64(at, time_ns);
}

static inline uint8_t *put_map(uint8_t *at, Py_ssize_t entries) {
    if (entries < 16) { *at++ = (uint8_t)(0x80 | entries); return at; }
    *at++ = 0xde;
    return put_be(at, (uint64_t)entries, 2);
}

static size_t key_bytes(Py_ssize_t utf8) { return (utf8 < 32 ? 1 : utf8 < 256 ? 2 : 3) + (size_t)utf8; }

static uint8_t *put_key(uint8_t *at, const char *text, Py_ssize_t utf8) {
    if (utf8 < 32) *at++ = (uint8_t)(0xa0 | utf8);
    else if (utf8 < 256) { *at++ = 0xd9; *at++ = (uint8_t)utf8; }
    else { *at++ = 0xda; at = put_be(at, (uint64_t)utf8, 2); }
    memcpy(at, text, (size_t)utf8);
    return at + utf8;
}

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* --- shapes ----------------------------------------------------------------------------------- */

static void shape_free(Shape *shape) {
    for (Py_ssize_t i = 0; i < shape->names_n; i++) Py_XDECREF(shape->names[i]);
    PyMem_Free(shape->names);
    PyMem_Free(shape->key_sizes);
    PyMem_Free(shape->keys);
    PyMem_Free(shape->row);
    PyMem_Free(shape);
}

static inline int same_text(PyObject *a, PyObject *b) {
    if (a == b) return 1;
    if (!PyUnicode_CheckExact(a)) return 0;
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    int kind = PyUnicode_KIND(a);
    return length == PyUnicode_GET_LENGTH(b) && kind == (int)PyUnicode_KIND(b)
        && memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)(length * kind)) == 0;
}

static int fits(const Shape *shape, PyObject *data) {
    PyObject *name;
    Py_ssize_t at = 0, i = 0;
    if (PyDict_GET_SIZE(data) != shape->names_n) return 0;
    while (PyDict_Next(data, &at, &name, NULL))
        if (!same_text(name, shape->names[i++])) return 0;
    return 1;
}

static int is_known(const Pen *self, PyObject *names) {
    for (int i = 0; i < self->shapes_n; i++) {
        const Shape *shape = self->shapes[i];
        Py_ssize_t same = 0, n = shape->names_n;
        if (n != PyTuple_GET_SIZE(names)) continue;
        while (same < n && same_text(PyTuple_GET_ITEM(names, same), shape->names[same])) same++;
        if (same == n) return 1;
    }
    return 0;
}

static Shape *find_shape(Pen *self, PyObject *data) {
    for (int i = 0; i < self->shapes_n; i++) {
        Shape *shape = self->shapes[i];
        if (!fits(shape, data)) continue;
        if (i) {
            memmove(&self->shapes[1], &self->shapes[0], sizeof(Shape *) * (size_t)i);
            self->shapes[0] = shape;
        }
        return shape;
    }
    return NULL;
}

static int append_row(PyObject *rows, const Shape *shape) {
    if (shape->row_bytes == 0) return 0;
    PyObject *row = PyBytes_FromStringAndSize((char *)shape->row, shape->row_bytes);
    int failed = row == NULL ? -1 : PyList_Append(rows, row);
    Py_XDECREF(row);
    return failed;
}

static int forget_oldest(Pen *self, PyObject *rows) {
    Shape *shape = self->shapes[--self->shapes_n];
    self->shape_bytes -= 2 * shape->most_bytes;
    int failed = append_row(rows, shape);
    shape_free(shape);
    return failed;
}

/* Learn names; gives the last rows of the shapes that had to make room. */
static PyObject *Pen_learn(Pen *self, PyObject *names) {
    if (!PyTuple_CheckExact(names)) return PyErr_Format(PyExc_TypeError, "names are a tuple");
    Py_ssize_t n = PyTuple_GET_SIZE(names);
    size_t bytes = 0;
    if (n == 0 || n > 0xffff || is_known(self, names)) return PyList_New(0);
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t utf8;
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (!PyUnicode_CheckExact(name)) return PyList_New(0);
        if (PyUnicode_AsUTF8AndSize(name, &utf8) == NULL) { PyErr_Clear(); return PyList_New(0); }
        if (utf8 > 0xffff) return PyList_New(0);
        bytes += key_bytes(utf8);
    }
    size_t most = bytes + HEAD_BYTES + (size_t)n * NUMBER_BYTES;
    if (most > (size_t)self->most_row_bytes) return PyList_New(0);
    PyObject *rows = PyList_New(0);
    Shape *shape = rows == NULL ? NULL : PyMem_Calloc(1, sizeof(Shape));
    if (shape == NULL) {
        Py_XDECREF(rows);
        return PyErr_NoMemory();
    }
    shape->names_n = n;
    shape->names = PyMem_Calloc((size_t)n, sizeof(PyObject *));
    shape->key_sizes = PyMem_Malloc((size_t)n * sizeof(uint32_t));
    shape->keys = PyMem_Malloc(bytes);
    shape->row = PyMem_Malloc(most);
    shape->most_bytes = (Py_ssize_t)most;
    if (!shape->names || !shape->key_sizes || !shape->keys || !shape->row) {
        shape->names_n = 0;
        shape_free(shape);
        Py_DECREF(rows);
        return PyErr_NoMemory();
    }
    uint8_t *at = shape->keys;
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t utf8;
        PyObject *name = PyTuple_GET_ITEM(names, i);
        const char *text = PyUnicode_AsUTF8AndSize(name, &utf8);
        uint8_t *end = put_key(at, text, utf8);
        shape->key_sizes[i] = (uint32_t)(end - at);
        at = end;
        shape->names[i] = Py_NewRef(name);
    }
    while (self->shapes_n == MOST_SHAPES
           || (self->shapes_n > 0 && self->shape_bytes + 2 * (Py_ssize_t)most > MOST_SHAPE_BYTES))
        if (forget_oldest(self, rows) < 0) PyErr_Clear(); /* only a last value is missing then */
    memmove(&self->shapes[1], &self->shapes[0], sizeof(Shape *) * (size_t)self->shapes_n);
    self->shapes[0] = shape;
    self->shapes_n++;
    self->shape_bytes += 2 * shape->most_bytes;
    return rows;
}

/* --- writing ---------------------------------------------------------------------------------- */

static inline void publish(Pen *self, uint8_t *end, long long step) {
    self->head = end - self->memory;
    __atomic_store_n(self->head_cell, (uint64_t)self->head * self->head_copies, __ATOMIC_RELEASE);
    self->sequence++;
    self->next_step = step + 1;
}

/* The step to use; 0 when it is for Python to judge. */
static inline int step_of(Pen *self, PyObject *given, long long *step) {
    if (given == Py_None) {
        *step = self->next_step;
        return *step != INT64_MAX && *step != INT64_MIN;
    }
    if (!PyLong_CheckExact(given)) return 0;
    int overflow;
    *step = PyLong_AsLongLongAndOverflow(given, &overflow);
    return !overflow && *step != INT64_MAX; /* the step after the last is for Python too */
}

static int write_row(Pen *self, PyObject *data, PyObject *given_step) {
    long long step;
    self->wants_shape = 0;
    if (self->limit < 0 || !PyDict_CheckExact(data) || !step_of(self, given_step, &step)) return 0;
    Shape *shape = find_shape(self, data);
    if (shape == NULL) {
        self->wants_shape = 1;
        return 0;
    }
    if (self->head + shape->most_bytes > self->limit) return 0;
    uint8_t *start = self->memory + self->head;
    uint8_t *at = put_map(put_begin(start, step, now_ns()), shape->names_n);
    const uint8_t *key = shape->keys;
    PyObject *value;
    Py_ssize_t place = 0, i = 0;
    while (PyDict_Next(data, &place, NULL, &value)) {
        uint32_t size = shape->key_sizes[i++];
        memcpy(at, key, size);
        key += size;
        at = put_number(self, at + size, value);
        if (at == NULL) return 0; /* beyond the head nothing counts */
    }
    shape->row_bytes = at - start;
    memcpy(shape->row, start, (size_t)shape->row_bytes);
    publish(self, at, step);
    return 1;
}

static PyObject *Pen_log(Pen *self, PyObject *const *args, Py_ssize_t n, PyObject *keywords) {
    PyObject *data = NULL, *step = NULL;
    Py_ssize_t named = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    if (n > 2) return PyErr_Format(PyExc_TypeError, "log() takes data and step");
    if (n > 0) data = args[0];
    if (n > 1) step = args[1];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(keywords, i);
        if (step == NULL && PyUnicode_CompareWithASCIIString(name, "step") == 0) step = args[n + i];
        else if (data == NULL && PyUnicode_CompareWithASCIIString(name, "data") == 0) data = args[n + i];
        else return PyErr_Format(PyExc_TypeError, "log() got an unexpected or repeated argument %R", name);
    }
    if (data == NULL) return PyErr_Format(PyExc_TypeError, "log() missing 1 required argument: 'data'");
    if (step == NULL) step = Py_None;
    if (write_row(self, data, step)) Py_RETURN_NONE;
    return PyObject_CallMethodObjArgs((PyObject *)self, slowly, data, step, NULL);
}

static PyObject *packed_name(Pen *self, PyObject *name) {
    PyObject *packed = PyDict_GetItemWithError(self->scalars, name);
    if (packed != NULL || PyErr_Occurred()) return packed;
    Py_ssize_t utf8;
    const char *text = PyUnicode_AsUTF8AndSize(name, &utf8);
    if (text == NULL || utf8 > 0xffff || PyDict_GET_SIZE(self->scalars) >= MOST_SCALARS) return NULL;
    packed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)key_bytes(utf8));
    if (packed == NULL) return NULL;
    put_key((uint8_t *)PyBytes_AS_STRING(packed), text, utf8);
    int failed = PyDict_SetItem(self->scalars, name, packed);
    Py_DECREF(packed); /* the dict holds it */
    return failed ? NULL : packed;
}

static PyObject *Pen_log_scalar(Pen *self, PyObject *const *args, Py_ssize_t n) {
    long long step;
    if (n != 3) return PyErr_Format(PyExc_TypeError, "log_scalar() takes name, value, step");
    if (!PyUnicode_CheckExact(args[0]) || !PyFloat_Check(args[1]) || self->limit < 0 || !step_of(self, args[2], &step)
        || PyUnicode_GET_LENGTH(args[0]) > self->most_name_chars)
        Py_RETURN_FALSE;
    PyObject *name = packed_name(self, args[0]);
    if (name == NULL) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(name);
    if (self->head + HEAD_BYTES + size + NUMBER_BYTES > self->limit) Py_RETURN_FALSE;
    uint8_t *at = put_map(put_begin(self->memory + self->head, step, now_ns()), 1);
    memcpy(at, PyBytes_AS_STRING(name), (size_t)size);
    publish(self, put_double(at + size, PyFloat_AS_DOUBLE(args[1])), step);
    Py_RETURN_TRUE;
}

/* --- what Python asks of it ------------------------------------------------------------------- */

static PyObject *Pen_point_at(Pen *self, PyObject *args) {
    Py_buffer memory, cells;
    Py_ssize_t cell;
    unsigned long long copies;
    if (!PyArg_ParseTuple(args, "w*w*nK", &memory, &cells, &cell, &copies)) return NULL;
    /* Only the addresses are kept, so that the segment can be closed: Python sets `_limit` to -1 first. */
    int is_wrong = cells.len < (cell + 1) * 8;
    self->memory = memory.buf;
    self->head_cell = (uint64_t *)cells.buf + cell;
    self->head_copies = copies;
    PyBuffer_Release(&memory);
    PyBuffer_Release(&cells);
    if (is_wrong) return PyErr_Format(PyExc_ValueError, "there is no such cell");
    Py_RETURN_NONE;
}

static PyObject *Pen_know_kind(Pen *self, PyObject *kind) {
    if (!PyType_Check(kind)) return PyErr_Format(PyExc_TypeError, "a kind is a type");
    if (self->kinds_n < MOST_KINDS) self->kinds[self->kinds_n++] = (PyTypeObject *)Py_NewRef(kind);
    Py_RETURN_NONE;
}

static PyObject *Pen_last_rows(Pen *self, PyObject *unused) {
    PyObject *rows = PyList_New(0);
    for (int i = 0; rows != NULL && i < self->shapes_n; i++)
        if (append_row(rows, self->shapes[i]) < 0) Py_CLEAR(rows);
    return rows;
}

static PyObject *Pen_get_next_step(Pen *self, void *unused) { return PyLong_FromLongLong(self->next_step); }

/* Beyond 64 bits the last step stands. */
static int Pen_set_next_step(Pen *self, PyObject *given, void *unused) {
    int overflow;
    if (given == NULL || !PyLong_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "a step is a whole number");
        return -1;
    }
    long long step = PyLong_AsLongLongAndOverflow(given, &overflow);
    self->next_step = overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : step;
    return 0;
}

static PyObject *Pen_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    Pen *self = (Pen *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->limit = -1;
    self->scalars = PyDict_New();
    if (self->scalars == NULL) Py_CLEAR(self);
    return (PyObject *)self;
}

static int Pen_traverse(Pen *self, visitproc visit, void *arg) {
    Py_VISIT(self->scalars);
    return 0; /* all else it holds are texts */
}

static int Pen_clear(Pen *self) {
    Py_CLEAR(self->scalars);
    return 0;
}

static void Pen_dealloc(Pen *self) {
    PyObject_GC_UnTrack(self);
    for (int i = 0; i < self->shapes_n; i++) shape_free(self->shapes[i]);
    for (int i = 0; i < self->kinds_n; i++) Py_DECREF(self->kinds[i]);
    Py_CLEAR(self->scalars);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMemberDef members[] = {
    {"_head", T_PYSSIZET, offsetof(Pen, head), 0, NULL},
    {"_limit", T_PYSSIZET, offsetof(Pen, limit), 0, NULL},
    {"_most_row_bytes", T_PYSSIZET, offsetof(Pen, most_row_bytes), 0, NULL},
    {"_most_name_chars", T_PYSSIZET, offsetof(Pen, most_name_chars), 0, NULL},
    {"_sequence", T_LONGLONG, offsetof(Pen, sequence), 0, NULL},
    {"_wants_shape", T_BOOL, offsetof(Pen, wants_shape), READONLY, NULL},
    {NULL},
};

static PyGetSetDef computed[] = {
    {"_next_step", (getter)Pen_get_next_step, (setter)Pen_set_next_step, NULL, NULL},
    {NULL},
};

static PyMethodDef methods[] = {
    {"log", (PyCFunction)(void (*)(void))Pen_log, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("log($self, data, step=None)\n--\n\n"
               "Record values of metrics at a step; never blocks. See exptrack_agent.rows.RowLog.log.")},
    {"log_scalar", (PyCFunction)(void (*)(void))Pen_log_scalar, METH_FASTCALL, NULL},
    {"_learn", (PyCFunction)Pen_learn, METH_O, NULL},
    {"_know_kind", (PyCFunction)Pen_know_kind, METH_O, NULL},
    {"_point_at", (PyCFunction)Pen_point_at, METH_VARARGS, NULL},
    {"_last_rows", (PyCFunction)Pen_last_rows, METH_NOARGS, NULL},
    {NULL},
};

static PyTypeObject PenType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "exptrack_agent._pen.Pen",
    .tp_basicsize = sizeof(Pen),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("What an append to the black box needs, and the append of plain rows."),
    .tp_new = Pen_new,
    .tp_dealloc = (destructor)Pen_dealloc,
    .tp_traverse = (traverseproc)Pen_traverse,
    .tp_clear = (inquiry)Pen_clear,
    .tp_members = members,
    .tp_getset = computed,
    .tp_methods = methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "exptrack_agent._pen", .m_size = -1,
};

PyMODINIT_FUNC PyInit__pen(void) {
    slowly = PyUnicode_InternFromString("_log_slowly");
    if (slowly == NULL || PyType_Ready(&PenType) < 0) return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddObjectRef(made, "Pen", (PyObject *)&PenType) < 0) Py_CLEAR(made);
    return made;
}
