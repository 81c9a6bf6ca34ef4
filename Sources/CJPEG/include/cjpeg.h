#ifndef CRAYON_CJPEG_H
#define CRAYON_CJPEG_H
#endif
